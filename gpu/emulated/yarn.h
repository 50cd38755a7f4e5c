#pragma once

namespace pairedhead::gpu::emulated {

// SPEC §3.5, in place: frequency fp32 [head_dim] and the softmax scale after the long window went
// from old_blocks to new_blocks of window_unit tokens. The trainer computes it on the host.
void yarn_update(float* frequency, int head_dim, double* softmax_scale, int old_blocks,
                 int new_blocks, int window_unit);

}  // namespace pairedhead::gpu::emulated
