#pragma once

#include <cstdint>

// Updates that move each element of a parameter by itself. Pointers to `count` elements; bf16 as
// bits. What is said to be in place is read and written.

namespace pairedhead::gpu::emulated {

// moment in place; the direction looks ahead (Nesterov). Gradient is bf16's bits (std::uint16_t) or
// float.
template <class Gradient>
void momentum(const Gradient* gradient, float* moment, float* direction, std::int64_t count,
              float momentum);

// parameter (bf16) and mantissa in place: the two halves of an fp32 value. No contraction.
void cautious_split_update(std::uint16_t* parameter, std::uint16_t* mantissa,
                           const std::uint16_t* direction, std::int64_t count, float learning_rate,
                           float weight_decay);

// The host's double factors; the device works in fp32, without contraction.
struct AdamProblem {
  double beta1, beta2, learning_rate, weight_decay;
  int updates;  // t, this one included
};
// parameter and moments in place. Stored and Gradient are bf16's bits (std::uint16_t) or float.
template <class Stored, class Gradient>
void adam_step(const AdamProblem& problem, Stored* parameter, const Gradient* gradient,
               float* first, float* second, std::int64_t count);

}  // namespace pairedhead::gpu::emulated
