#pragma once

#include <cstdint>

#include "reference/dtype.h"
#include "reference/tensor.h"

// The two 8-bit floating formats of the head (SPEC §3.8, §5 "fp8 head"): e4m3 (bias 7, largest 448,
// no infinities, one NaN a sign) and e5m2 (bias 15, largest 57344). `format` is DType::e4m3 or
// DType::e5m2; InputError on another.

namespace pairedhead {

// The nearest, ties to even; what lies beyond the largest, infinities included, becomes the
// largest. NaN becomes 0x7f, whatever its sign, as a GPU's conversion has it. Rounds once.
std::uint8_t to_fp8_bits(DType format, double value);
// Exact. A NaN or an infinity comes out as such.
double from_fp8_bits(DType format, std::uint8_t bits);

}  // namespace pairedhead

namespace pairedhead::reference {

// The head's static scales (SPEC §3.8, §5), the nearest fp32 to 100/448, 1.6/448 and 0.75/448.
inline constexpr float fp8_activation_scale = static_cast<float>(100.0 / 448);
inline constexpr float fp8_weight_scale = static_cast<float>(1.6 / 448);
inline constexpr float fp8_gradient_scale = static_cast<float>(0.75 / 448);

// SPEC §3.8: format(fp32(x / scale)), shape of x, the codes' values. x holds fp32 (or bf16) values;
// the quotient is rounded to fp32 before the conversion. A definition: the same in every Rounding.
Tensor<double> quantise_fp8(const Tensor<double>& x, float scale, DType format);

}  // namespace pairedhead::reference
