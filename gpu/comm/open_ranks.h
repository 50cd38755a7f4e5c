#pragma once

#include <memory>

#include "gpu/comm/communicator.h"
#include "gpu/comm/rank_environment.h"

namespace pairedhead::gpu {

// The ranks of this run: one alone, or as many processes as the environment says, once all have
// come. The device of this rank must be selected. Throws what NcclCommunicator's constructor
// throws.
std::unique_ptr<Communicator> open_ranks(const RankEnvironment& environment);

}  // namespace pairedhead::gpu
