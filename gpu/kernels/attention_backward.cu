#include "gpu/kernels/attention_backward.cuh"

namespace pairedhead::gpu {

std::size_t attention_workspace_bytes(const AttentionProblem& problem) {
  return attention::Workspace(problem, nullptr).bytes;
}

void attention_backward(const AttentionProblem& problem, HeadView query, HeadView key,
                        HeadView value, HeadView y, const float* logsumexp, HeadView grad_y,
                        HeadView grad_query, HeadView grad_key, HeadView grad_value,
                        void* workspace, cudaStream_t stream) {
  using namespace attention;
  const Workspace scratch(problem, workspace);
  const Sequence sequence = describe_sequence(problem);
  const PlanRequest requests[2] = {request_query_plan(scratch, sequence),
                                   request_key_plan(scratch, sequence)};
  launch_plan(sequence, requests, 2, stream);
  const BackwardArguments arguments{describe_heads(problem, query),
                                    describe_heads(problem, key),
                                    describe_heads(problem, value),
                                    describe_heads(problem, grad_y),
                                    describe_heads(problem, grad_query),
                                    describe_heads(problem, grad_key),
                                    describe_heads(problem, grad_value),
                                    y,
                                    problem.head_dim,
                                    sequence,
                                    requests[0].plan,
                                    requests[1].plan,
                                    problem.softmax_scale,
                                    logsumexp,
                                    scratch.delta};
  launch_backward_query(arguments, problem.head_dim, stream);
  launch_backward_key(arguments, problem.head_dim, stream);
}

}  // namespace pairedhead::gpu
