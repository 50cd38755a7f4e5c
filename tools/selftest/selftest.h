#pragma once

#include <filesystem>

#include "reference/tensor.h"

namespace pairedhead {

struct SelftestOptions {
  int ranks = 2;
  Index steps = 20;           // all three phases, the split and the extension among them
  std::filesystem::path out;  // a new folder, which keeps both runs
};

// Trains the tiny model on one rank and on several, each a process with a device of its own, in the
// bf16 head, and compares every loss and the whole state bit for bit. Returns the exit code: 0
// equal, 1 not, or a rank failed. Throws InputError on options that will not do, DeviceError where
// there are not as many devices.
int selftest(const SelftestOptions& options);

}  // namespace pairedhead
