#pragma once

#include <cstdint>

#include "gpu/emulated/token_shape.h"

namespace pairedhead::gpu::emulated {

// SPEC §3.1: e[t] = table[tokens[t]]. table: [vocabulary, width] of bf16 bits.
void embedding_forward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* table,
                       std::uint16_t* e);
// Every row of the table's gradient is written: the fp32 sum over the tokens that name it and of
// what the row has got before, rounded once. before: [vocabulary, width], or nullptr for zeros.
void embedding_backward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* grad_e,
                        const std::uint16_t* before, int vocabulary, std::uint16_t* grad_table);

// SPEC §3.1.1-4 in one pass: x0 = rms(smear(table[tokens])), a token's rows in fp32 in between.
// w: [1, 12]; lam: the smear lambda.
void embed_smear_norm_forward(TokenShape shape, const std::int32_t* tokens,
                              const std::uint16_t* table, const std::uint16_t* w, float lam,
                              std::uint16_t* x0);
// grad_x0 and grad_x, which may be nullptr, both reach x0. grad_e: [tokens, width], what the
// table's rows get token by token.
void embed_smear_norm_backward(TokenShape shape, const std::int32_t* tokens,
                               const std::uint16_t* table, const std::uint16_t* w, float lam,
                               const std::uint16_t* grad_x0, const std::uint16_t* grad_x,
                               std::uint16_t* grad_e, std::uint16_t* grad_w, float* grad_lam);

}  // namespace pairedhead::gpu::emulated
