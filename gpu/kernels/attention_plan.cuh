#pragma once

#include "gpu/kernels/attention_tiles.cuh"

namespace pairedhead::gpu::attention {

// What one kernel wants planned: tiles of tile_rows, streamed blocks of 2^block_shift; `over_keys`
// if the tiles are queries and the blocks keys, else the other way round.
struct PlanRequest {
  Plan plan;
  int tile_rows, block_shift;
  bool over_keys;
};

// Fills in one or two plans on `stream`. Every kernel that reads them has to
// wait_for_kernel_before().
void launch_plan(const Sequence& sequence, const PlanRequest (&requests)[2], int count,
                 cudaStream_t stream);

}  // namespace pairedhead::gpu::attention
