#include "gpu/emulated/head.h"

#include <cmath>
#include <cstddef>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/fp8.h"
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

constexpr float activation_scale = 100.0f / 448, weight_scale = 1.6f / 448,
                gradient_scale = 0.75f / 448;

// A quantised matrix, and the value of each code.
struct Codes {
  std::vector<std::uint8_t> e4m3, e5m2;
  Codes(const std::uint16_t* x, int rows, int columns, float scale)
      : e4m3(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)),
        e5m2(e4m3.size()) {
    quantise_fp8(x, static_cast<std::int64_t>(e4m3.size()), scale, e4m3.data(), e5m2.data());
  }
};

// Sign, `mantissa` bits of fraction, the rest exponent.
float decoded(std::uint8_t code, int mantissa, int bias) {
  const int exponent = (code & 0x7f) >> mantissa, fraction = code & ((1 << mantissa) - 1);
  const int significand = exponent == 0 ? fraction : fraction + (1 << mantissa);
  const float value =
      std::ldexp(static_cast<float>(significand), (exponent == 0 ? 1 : exponent) - bias - mantissa);
  return code & 0x80 ? -value : value;
}
float from_e4m3(std::uint8_t code) { return decoded(code, 3, 7); }
float from_e5m2(std::uint8_t code) { return decoded(code, 2, 15); }

// Sum of `count` terms, 32 of them added before they join the rest.
template <class Term>
float tiled_sum(int count, const Term& term) {
  float sum = 0;
  for (int first = 0; first < count; first += 32) {
    float part = 0;
    for (int i = first; i < count && i < first + 32; ++i) part += term(i);
    sum += part;
  }
  return sum;
}

std::size_t at(int row, int column, int columns) {
  return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
         static_cast<std::size_t>(column);
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

void head_fp8_forward(Fp8HeadShape shape, const std::uint16_t* x, const std::uint16_t* lm_head,
                      std::uint16_t* z) {
  const auto [tokens, channels, vocabulary] = shape;
  const Codes activations(x, tokens, channels, activation_scale);
  const Codes weights(lm_head, vocabulary, channels, weight_scale);
  for (int t = 0; t < tokens; ++t) {
    for (int n = 0; n < vocabulary; ++n) {
      const float sum = tiled_sum(channels, [&, c = channels](int k) {
        return from_e4m3(activations.e4m3[at(t, k, c)]) * from_e4m3(weights.e4m3[at(n, k, c)]);
      });
      z[at(t, n, vocabulary)] = to_bf16(sum * activation_scale * weight_scale);
    }
  }
}

void head_fp8_backward(Fp8HeadShape shape, const std::uint16_t* x, const std::uint16_t* lm_head,
                       const std::uint16_t* grad_z, std::uint16_t* grad_x,
                       std::uint16_t* grad_lm_head) {
  const auto [tokens, channels, vocabulary] = shape;
  const Codes activations(x, tokens, channels, activation_scale);
  const Codes weights(lm_head, vocabulary, channels, weight_scale);
  const Codes gradients(grad_z, tokens, vocabulary, gradient_scale);
  const auto gradient = [&, v = vocabulary](int t, int n) {
    return from_e5m2(gradients.e5m2[at(t, n, v)]);
  };
  for (int k = 0; k < channels; ++k) {
    for (int t = 0; t < tokens; ++t) {
      const float sum = tiled_sum(vocabulary, [&, c = channels](int n) {
        return gradient(t, n) * from_e4m3(weights.e4m3[at(n, k, c)]);
      });
      grad_x[at(t, k, channels)] = to_bf16(sum * gradient_scale * weight_scale);
    }
    for (int n = 0; n < vocabulary; ++n) {
      const float sum = tiled_sum(tokens, [&, c = channels](int t) {
        return gradient(t, n) * from_e4m3(activations.e4m3[at(t, k, c)]);
      });
      grad_lm_head[at(n, k, channels)] = to_bf16(sum * activation_scale * gradient_scale);
    }
  }
}

void softcap_forward(LogitShape shape, const std::uint16_t* z, std::uint16_t* l) {
  const auto count =
      static_cast<std::size_t>(shape.tokens) * static_cast<std::size_t>(shape.vocabulary);
  for (std::size_t i = 0; i < count; ++i) l[i] = to_bf16(capped(from_bf16(z[i])).value);
}

void softcap_backward(LogitShape shape, const std::uint16_t* z, const std::uint16_t* grad_l,
                      std::uint16_t* grad_z) {
  const auto count =
      static_cast<std::size_t>(shape.tokens) * static_cast<std::size_t>(shape.vocabulary);
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

void quantise_head_gradient(const std::uint16_t* grad_z, std::int64_t count, std::uint8_t* codes) {
  std::vector<std::uint8_t> unused(static_cast<std::size_t>(count));
  quantise_fp8(grad_z, count, gradient_scale, unused.data(), codes);
}

}  // namespace pairedhead::gpu::emulated
