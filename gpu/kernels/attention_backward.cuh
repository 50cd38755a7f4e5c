#pragma once

#include "gpu/kernels/attention_launch.h"

// The backward pass, SPEC §5, as two kernels that each recompute scores and weights: one owns tiles
// of queries and sums grad_query over keys, the other owns tiles of keys and sums grad_key and
// grad_value over queries. Two products more than one kernel would need, in exchange for no
// atomics, no fp32 gradient in memory and no passes before or after.
namespace pairedhead::gpu::attention {

struct BackwardArguments {
  CUtensorMap query, key, value, grad_y;
  CUtensorMap grad_query, grad_key, grad_value;
  HeadView y;
  int head_dim;
  Sequence sequence;
  Plan query_plan, key_plan;
  float softmax_scale;
  const float* logsumexp;  // [slots, rows]
  float* delta;            // [slots, rows]: sum over channels of grad_y * y, from the first kernel
};

// The requests for the two kernels' plans.
PlanRequest request_query_plan(const Workspace& workspace, const Sequence& sequence);
PlanRequest request_key_plan(const Workspace& workspace, const Sequence& sequence);

// grad_query and delta.
void launch_backward_query(const BackwardArguments& arguments, int head_dim, cudaStream_t stream);

// grad_key and grad_value; reads delta.
void launch_backward_key(const BackwardArguments& arguments, int head_dim, cudaStream_t stream);

}  // namespace pairedhead::gpu::attention
