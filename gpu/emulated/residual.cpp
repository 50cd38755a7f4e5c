#include "gpu/emulated/residual.h"

#include <array>

#include "gpu/emulated/fp32_row.h"
#include "gpu/kernels/gate.h"

namespace pairedhead::gpu::emulated {
namespace {

// The token's part of the skip: strength 2 sig(theta), gate sig(<x0[0:12], w>).
struct Gain {
  float strength = 0, gate = 0;
};

Gain gain_of(const MixNormRows& in, int row) {
  if (in.x_skip == nullptr) return {};
  return {2 * logistic(in.theta), logistic(warp_product(in.x0 + row, in.w, gate_channels))};
}

// What enters the mix.
Fp32Row entering(const MixNormRows& in, int row, int width, const Gain& gain) {
  Fp32Row x = load_row(in.x + row, width);
  if (in.x_skip == nullptr) return x;
  for (std::size_t c = 0; c < x.size(); ++c) {
    x[c] =
        std::fma(gain.strength * gain.gate, from_bf16(in.x_skip[row + static_cast<int>(c)]), x[c]);
  }
  return x;
}

Fp32Row mix(const MixNormRows& in, Fp32Row x, const Fp32Row& x0) {
  for (std::size_t c = 0; c < x.size(); ++c) x[c] = std::fma(in.rho, x[c], in.lam * x0[c]);
  return x;
}

// One number a token, summed at the end.
using TokenSums = std::vector<float>;

float total(const TokenSums& sums) {
  return warp_sum(static_cast<int>(sums.size()),
                  [&](int t) { return sums[static_cast<std::size_t>(t)]; });
}

void add(const std::uint16_t* given, int row, Fp32Row& sum) {
  if (given == nullptr) return;
  for (float& x : sum) x += from_bf16(given[row++]);
}

Fp32Row scaled(float factor, const Fp32Row& row) {
  Fp32Row result;
  for (const float x : row) result.push_back(factor * x);
  return result;
}

// x - beta x_back.
Fp32Row reduced(const std::uint16_t* x, const std::uint16_t* x_back, float beta, int width) {
  Fp32Row row = load_row(x, width);
  for (std::size_t c = 0; c < row.size(); ++c)
    row[c] = std::fma(-beta, from_bf16(x_back[c]), row[c]);
  return row;
}

}  // namespace

void mix_norm_forward(TokenShape shape, const MixNormRows& in, std::uint16_t* mixed,
                      std::uint16_t* a) {
  for (int row = 0; row < shape.size(); row += shape.width) {
    const Fp32Row x0 = load_row(in.x0 + row, shape.width);
    const Fp32Row sum = mix(in, entering(in, row, shape.width, gain_of(in, row)), x0);
    store_row(sum, mixed + row);
    store_row(scaled(inverse_rms(sum), sum), a + row);
  }
}

void mix_norm_backward(TokenShape shape, const MixNormRows& in, const MixNormIncoming& incoming,
                       const MixNormGradients& grad) {
  TokenSums of_rho, of_lam, of_theta;
  std::array<TokenSums, gate_channels> of_w;
  for (int row = 0; row < shape.size(); row += shape.width) {
    Fp32Row grad_a = load_row(incoming.a + row, shape.width);
    for (std::size_t c = 0; incoming.a_gates != nullptr && c < gate_channels; ++c) {
      grad_a[c] +=
          incoming.a_gates[static_cast<std::size_t>(row / shape.width) * gate_channels + c];
    }
    const Gain gain = gain_of(in, row);
    const Fp32Row x = entering(in, row, shape.width, gain);
    const Fp32Row x0 = load_row(in.x0 + row, shape.width);
    Fp32Row g = norm_backward(mix(in, x, x0), grad_a);
    add(incoming.mixed, row, g);

    of_rho.push_back(product(g, x));
    of_lam.push_back(product(g, x0));
    Fp32Row to_x = scaled(in.rho, g), to_x0 = scaled(in.lam, g);
    if (in.x_skip != nullptr) {
      store_row(scaled(gain.strength * gain.gate, to_x), grad.x_skip + row);
      const float grad_gate = gain.gate * product(to_x, load_row(in.x_skip + row, shape.width));
      of_theta.push_back(grad_gate);
      const float grad_logit = gain.strength * (1 - gain.gate) * grad_gate;
      for (std::size_t c = 0; c < gate_channels; ++c) {
        of_w[c].push_back(grad_logit * x0[c]);
        to_x0[c] += grad_logit * from_bf16(in.w[c]);
      }
    }
    add(incoming.x_before, row, to_x);
    add(incoming.x0_before, row, to_x0);
    store_row(to_x, grad.x + row);
    store_row(to_x0, grad.x0 + row);
  }
  *grad.rho = total(of_rho);
  *grad.lam = total(of_lam);
  if (in.x_skip == nullptr) return;
  const float share = logistic(in.theta);
  *grad.theta = 2 * share * (1 - share) * total(of_theta);
  for (std::size_t c = 0; c < gate_channels; ++c) grad.w[c] = to_bf16(total(of_w[c]));
}

void backout_norm_forward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* x_back,
                          float beta, std::uint16_t* y) {
  for (int row = 0; row < shape.size(); row += shape.width) {
    const Fp32Row difference = reduced(x + row, x_back + row, beta, shape.width);
    store_row(scaled(inverse_rms(difference), difference), y + row);
  }
}

void backout_norm_backward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* x_back,
                           float beta, const std::uint16_t* grad_y, std::uint16_t* grad_x,
                           std::uint16_t* grad_x_back, float* grad_beta) {
  TokenSums of_beta;
  for (int row = 0; row < shape.size(); row += shape.width) {
    const Fp32Row g = norm_backward(reduced(x + row, x_back + row, beta, shape.width),
                                    load_row(grad_y + row, shape.width));
    store_row(g, grad_x + row);
    store_row(scaled(-beta, g), grad_x_back + row);
    of_beta.push_back(-product(g, load_row(x_back + row, shape.width)));
  }
  *grad_beta = total(of_beta);
}

}  // namespace pairedhead::gpu::emulated
