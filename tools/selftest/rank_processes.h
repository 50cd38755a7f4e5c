#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pairedhead {

// Starts this program once a rank with the variables that torchrun sets, the ranks to meet at this
// port, and waits for all of them; their standard output goes to files in `out`, which must exist.
// Returns the exit code of each, 128 and more after a signal. Throws InputError where a process
// cannot be started; those that were are then ended.
std::vector<int> run_ranks(int ranks, std::uint16_t port, const std::vector<std::string>& arguments,
                           const std::filesystem::path& out);

}  // namespace pairedhead
