#include <gtest/gtest.h>

#include "gpu/device.h"

namespace pairedhead::gpu {
namespace {

DeviceInfo hopper() {
  DeviceInfo info;
  info.driver_version = 13000;
  info.runtime_version = 13000;
  info.devices = 1;
  info.name = "NVIDIA H100";
  info.compute_major = 9;
  return info;
}

TEST(Device, AHopperIsUsable) { EXPECT_EQ(unusable(hopper()), std::nullopt); }

TEST(Device, EveryOtherMachineIsRefusedWithItsReason) {
  DeviceInfo info = hopper();
  info.driver_version = 0;
  info.status = cudaErrorInsufficientDriver;
  EXPECT_EQ(unusable(info), "no CUDA driver is installed on this machine");

  info = hopper();
  info.driver_version = 12040;
  info.status = cudaErrorInsufficientDriver;
  EXPECT_EQ(unusable(info), "the CUDA driver supports CUDA 12.4, expected at least 13.0");

  info = hopper();
  info.status = cudaErrorNoDevice;
  info.devices = 0;
  EXPECT_EQ(unusable(info), "this machine has no CUDA device");

  info = hopper();
  info.index = 1;
  EXPECT_EQ(unusable(info), "expected CUDA device 1 on this machine, got 1 devices");

  info = hopper();
  info.status = cudaErrorUnknown;
  EXPECT_EQ(unusable(info), "the CUDA device does not answer: unknown error");

  info = hopper();
  info.name = "NVIDIA A100";
  info.compute_major = 8;
  EXPECT_EQ(unusable(info),
            "the kernels are built for compute capability 9.0 (Hopper), got 8.0 (NVIDIA A100)");

  // A later architecture does not have Hopper's instructions either.
  info = hopper();
  info.compute_major = 10;
  EXPECT_TRUE(unusable(info).has_value());
}

TEST(Device, RequiringOneAgreesWithProbingForIt) {
  const auto reason = unusable(probe_device());
  if (!reason) {
    EXPECT_EQ(require_device().compute_major, 9);
    return;
  }
  try {
    require_device();
    FAIL() << "a device was given though " << *reason;
  } catch (const DeviceUnavailable& error) {
    EXPECT_EQ(error.what(), *reason);
  }
}

}  // namespace
}  // namespace pairedhead::gpu
