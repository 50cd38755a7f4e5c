#include "gpu/emulated/optimizer.h"

#include <bit>
#include <cmath>

#include "gpu/emulated/bf16.h"

namespace pairedhead::gpu::emulated {
namespace {

constexpr std::uint32_t device_nan = 0x7fffffffu;  // what a GPU's arithmetic makes

float load(std::uint16_t stored) { return from_bf16(stored); }
float load(float stored) { return stored; }
void store(float value, std::uint16_t& stored) { stored = to_bf16(value); }
void store(float value, float& stored) { stored = value; }

}  // namespace

template <class Gradient>
void momentum(const Gradient* gradient, float* moment, float* direction, std::int64_t count,
              float momentum) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = load(gradient[i]);
    moment[i] += (1 - momentum) * (g - moment[i]);
    direction[i] = g + momentum * (moment[i] - g);
  }
}
template void momentum(const std::uint16_t*, float*, float*, std::int64_t, float);
template void momentum(const float*, float*, float*, std::int64_t, float);

void cautious_split_update(std::uint16_t* parameter, std::uint16_t* mantissa,
                           const std::uint16_t* direction, std::int64_t count, float learning_rate,
                           float weight_decay) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float o = from_bf16(direction[i]);
    const auto whole = std::uint32_t{parameter[i]} << 16 | mantissa[i];
    const float z = std::bit_cast<float>(whole);
    const float keep = o * z >= 0 ? 1.0f : 0.0f;
    float decay = z * keep;
    decay *= weight_decay;
    decay *= learning_rate;
    float moved = z - decay;
    moved -= o * learning_rate;
    const std::uint32_t bits = std::isnan(moved) ? device_nan : std::bit_cast<std::uint32_t>(moved);
    parameter[i] = static_cast<std::uint16_t>(bits >> 16);
    mantissa[i] = static_cast<std::uint16_t>(bits & 0xffffu);
  }
}

template <class Stored, class Gradient>
void adam_step(const AdamProblem& problem, Stored* parameter, const Gradient* gradient,
               float* first, float* second, std::int64_t count) {
  const double correction1 = 1 - std::pow(problem.beta1, problem.updates);
  const double correction2 = 1 - std::pow(problem.beta2, problem.updates);
  const auto rate =
      static_cast<float>(problem.learning_rate * std::sqrt(correction2) / correction1);
  const auto decay =
      static_cast<float>(problem.learning_rate * problem.learning_rate * problem.weight_decay);
  const auto beta1 = static_cast<float>(problem.beta1);
  const auto beta2 = static_cast<float>(problem.beta2);
  const auto rest1 = static_cast<float>(1 - problem.beta1);
  const auto rest2 = static_cast<float>(1 - problem.beta2);
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = load(gradient[i]), p = load(parameter[i]);
    const float m = first[i] = beta1 * first[i] + rest1 * g;
    const float v = second[i] = beta2 * second[i] + rest2 * (g * g);
    const float update = (rate * m) / (std::sqrt(v) + 1e-10f);
    const float keep = update * p > 0 ? 1.0f : 0.0f;
    store(p - (update + (keep * p) * decay), parameter[i]);
  }
}
template void adam_step(const AdamProblem&, std::uint16_t*, const std::uint16_t*, float*, float*,
                        std::int64_t);
template void adam_step(const AdamProblem&, std::uint16_t*, const float*, float*, float*,
                        std::int64_t);
template void adam_step(const AdamProblem&, float*, const float*, float*, float*, std::int64_t);

}  // namespace pairedhead::gpu::emulated
