#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// As gpu/kernels/qk_prepare.h, host pointers to bf16 bits, contiguous [T, H, D].
struct QkPrepareProblem {
  int tokens, heads, head_dim;
  bool normalise, paired, shift_keys;
};
void qk_prepare_forward(const QkPrepareProblem& problem, const std::uint16_t* query_in,
                        const std::uint16_t* key_in, const std::uint16_t* cosine,
                        const std::uint16_t* sine, std::uint16_t* query, std::uint16_t* key);
void qk_prepare_backward(const QkPrepareProblem& problem, const std::uint16_t* query_in,
                         const std::uint16_t* key_in, const std::uint16_t* cosine,
                         const std::uint16_t* sine, const std::uint16_t* grad_query,
                         const std::uint16_t* grad_key, std::uint16_t* grad_query_in,
                         std::uint16_t* grad_key_in);
void rotary_table(const float* frequency, int tokens, int head_dim, bool paired,
                  std::uint16_t* cosine, std::uint16_t* sine);

}  // namespace pairedhead::gpu::emulated
