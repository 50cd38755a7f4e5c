#include "gpu/kernels/attention_backward.cuh"

namespace pairedhead::gpu {

std::size_t attention_workspace_bytes(const AttentionProblem& problem) {
  return attention::Workspace::kCounterBytes + sizeof(float) *
                                                   static_cast<std::size_t>(problem.slots) *
                                                   static_cast<std::size_t>(problem.tokens) *
                                                   static_cast<std::size_t>(problem.rows_per_token);
}

void attention_backward(const AttentionProblem& problem, HeadView query, HeadView key,
                        HeadView value, HeadView y, const float* logsumexp, HeadView grad_y,
                        HeadView grad_query, HeadView grad_key, HeadView grad_value,
                        void* workspace, cudaStream_t stream) {
  using namespace attention;
  const Workspace scratch(workspace);
  CUDA_CHECK(cudaMemsetAsync(scratch.counters, 0, 2 * sizeof(int), stream));
  BackwardArguments arguments{describe_heads(problem, query),
                              describe_heads(problem, key),
                              describe_heads(problem, value),
                              describe_heads(problem, y),
                              describe_heads(problem, grad_y),
                              describe_heads(problem, grad_query),
                              describe_heads(problem, grad_key),
                              describe_heads(problem, grad_value),
                              describe_sequence(problem, scratch.counters),
                              problem.softmax_scale,
                              logsumexp,
                              scratch.delta};
  launch_backward_query(arguments, problem.head_dim, stream);
  ++arguments.sequence.next_tile;
  launch_backward_key(arguments, problem.head_dim, stream);
}

}  // namespace pairedhead::gpu
