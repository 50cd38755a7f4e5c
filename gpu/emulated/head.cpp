#include "gpu/emulated/head.h"

#include <cmath>
#include <cstddef>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/warp_sum.h"

namespace pairedhead::gpu::emulated {
namespace {

constexpr float cap = 23;

struct Capped {
  float value, slope;
};

// By the exponential of -|u|, which never overflows.
Capped capped(float z) {
  const float u = (z + 5) * (1 / 7.5f);
  const float e = std::exp2(-std::fabs(u) * 1.44269504f);
  const float inverse = 1 / (1 + e);
  return {cap * (u < 0 ? e * inverse : inverse), cap / 7.5f * e * inverse * inverse};
}

std::size_t row(const LossProblem& problem, int token) {
  return static_cast<std::size_t>(token) * static_cast<std::size_t>(problem.shape.vocabulary);
}

float weight_of(const LossProblem& problem, int horizon) {
  if (problem.validation) {
    return horizon == 0 ? 1 / static_cast<float>(problem.shape.tokens) : 0;
  }
  return problem.weights[horizon];
}

}  // namespace

void softcap_forward(LogitShape shape, const std::uint16_t* z, std::uint16_t* l) {
  const auto count = static_cast<std::size_t>(shape.tokens * shape.vocabulary);
  for (std::size_t i = 0; i < count; ++i) l[i] = to_bf16(capped(from_bf16(z[i])).value);
}

void softcap_backward(LogitShape shape, const std::uint16_t* z, const std::uint16_t* grad_l,
                      std::uint16_t* grad_z) {
  const auto count = static_cast<std::size_t>(shape.tokens * shape.vocabulary);
  for (std::size_t i = 0; i < count; ++i) {
    grad_z[i] = to_bf16(from_bf16(grad_l[i]) * capped(from_bf16(z[i])).slope);
  }
}

void softcap_loss_forward(const LossProblem& problem, const std::uint16_t* z, float* logsumexp,
                          float* loss) {
  for (int t = 0; t < problem.shape.tokens; ++t) {
    const std::uint16_t* logits = z + row(problem, t);
    // No logit passes the cap, so none needs a maximum of its own.
    const float sum = warp_sum(problem.shape.vocabulary, [&](int n) {
      return std::exp(capped(from_bf16(logits[n])).value - cap);
    });
    logsumexp[t] = cap + std::log(sum);
  }
  *loss = warp_sum(problem.shape.tokens, [&](int t) {
    float terms = 0;
    for (int k = problem.horizons - 1; k >= 0; --k) {
      if (t + k >= problem.shape.tokens) continue;
      const std::uint16_t logit =
          z[row(problem, t) + static_cast<std::size_t>(problem.targets[t + k])];
      terms += weight_of(problem, k) * (logsumexp[t] - capped(from_bf16(logit)).value);
    }
    return terms;
  });
}

void softcap_loss_backward(const LossProblem& problem, const std::uint16_t* z,
                           const float* logsumexp, float grad_loss, std::uint16_t* grad_z) {
  std::vector<float> wanted(static_cast<std::size_t>(problem.shape.vocabulary));
  for (int t = 0; t < problem.shape.tokens; ++t) {
    // What the targets ask for, by column, then the softmax in one pass over the row.
    float weights = 0;
    for (int k = 0; k < problem.horizons && t + k < problem.shape.tokens; ++k) {
      weights += weight_of(problem, k);
      wanted[static_cast<std::size_t>(problem.targets[t + k])] += weight_of(problem, k);
    }
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      const std::size_t at = row(problem, t) + n;
      const Capped l = capped(from_bf16(z[at]));
      const float grad_l = weights * std::exp(l.value - logsumexp[t]) - wanted[n];
      grad_z[at] = to_bf16(grad_loss * grad_l * l.slope);
      wanted[n] = 0;
    }
  }
}

}  // namespace pairedhead::gpu::emulated
