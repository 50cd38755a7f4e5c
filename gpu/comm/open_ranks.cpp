#include "gpu/comm/open_ranks.h"

#include <chrono>

#include "gpu/comm/nccl_communicator.h"

namespace pairedhead::gpu {
namespace {

// Longer than a rank takes to start, to read a shard or to write a checkpoint.
constexpr std::chrono::minutes patience{5};

}  // namespace

std::unique_ptr<Communicator> open_ranks(const RankEnvironment& environment) {
  if (environment.size == 1) return std::make_unique<SingleRank>();
  return std::make_unique<NcclCommunicator>(environment, patience);
}

}  // namespace pairedhead::gpu
