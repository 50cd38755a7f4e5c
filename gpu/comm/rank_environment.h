#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace pairedhead::gpu {

// Which of how many processes this one is, and where they meet.
struct RankEnvironment {
  int rank = 0, size = 1;
  int local_rank = 0;  // among those of this machine: the number of its device
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
};

// What an environment variable holds, nullptr where it is not set.
using Variables = std::function<const char*(const char* name)>;

// From RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun sets them; one rank
// where none of RANK and WORLD_SIZE is set. torchrun keeps MASTER_PORT for itself where it says
// TORCHELASTIC_USE_AGENT_STORE=True: the ranks then meet at the port behind it. Throws InputError
// where a variable is missing, no number or out of range, and on a size other than 1, 2, 4 or 8
// (SPEC §8).
RankEnvironment rank_environment(const Variables& variables);
// Of this process.
RankEnvironment rank_environment();

}  // namespace pairedhead::gpu
