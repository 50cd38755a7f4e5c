#pragma once

#include <stdexcept>
#include <string>

namespace pairedhead {

// Bad input: what, where, expected and got in one sentence. The command line prints it and exits 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// No usable device: the command line prints it and exits 3.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pairedhead
