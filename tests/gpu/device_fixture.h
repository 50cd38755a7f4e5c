#pragma once

#include <gtest/gtest.h>

#include "gpu/device.h"

namespace pairedhead::gpu {

// Tests that need a device are skipped, with the reason, where there is none.
class DeviceFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = unusable(probe_device())) GTEST_SKIP() << "needs a GPU: " << *reason;
    require_device();
  }
};

}  // namespace pairedhead::gpu
