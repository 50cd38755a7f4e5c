#include "gpu/kernels/linear.h"
#include "tools/targets/gpu_case.h"

namespace pairedhead {
namespace {

GpuLaunches linear(GpuCase& c) {
  gpu::LinearAlgebra& algebra = c.algebra();
  const int tokens = c.extent("T"), inputs = c.extent("K"), outputs = c.extent("N");
  const auto x = c.bf16("x"), w = c.bf16("w"), y = c.bf16("outputs/y");
  const auto grad_y = c.bf16("grad_y"), grad_x = c.bf16("grads/x"), grad_w = c.bf16("grads/w");
  return {.forward =
              [=, &algebra](cudaStream_t stream) {
                linear_forward(algebra, tokens, inputs, outputs, x, w, nullptr, y, stream);
              },
          .backward =
              [=, &algebra](cudaStream_t stream) {
                linear_backward(algebra, tokens, inputs, outputs, x, w, grad_y, grad_x, grad_w,
                                stream);
              }};
}

}  // namespace

GpuCalls gpu_linear_calls() { return {{"linear", linear}}; }

}  // namespace pairedhead
