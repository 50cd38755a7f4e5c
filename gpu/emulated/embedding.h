#pragma once

#include <cstdint>

#include "gpu/emulated/token_shape.h"

namespace pairedhead::gpu::emulated {

// SPEC §3.1: e[t] = table[tokens[t]]. table: [vocabulary, width] of bf16 bits.
void embedding_forward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* table,
                       std::uint16_t* e);
// Every row of the table's gradient is written: the fp32 sum over the tokens that name it, rounded
// once; zero where none does.
void embedding_backward(TokenShape shape, const std::int32_t* tokens, const std::uint16_t* grad_e,
                        int vocabulary, std::uint16_t* grad_table);

}  // namespace pairedhead::gpu::emulated
