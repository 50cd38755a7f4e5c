#include "gpu/emulated/gates.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/warp_sum.h"
#include "gpu/kernels/gate.h"

namespace pairedhead::gpu::emulated {
namespace {

float logistic(float x) { return 1 / (1 + std::exp(-x)); }

float gate_of(const std::uint16_t* x, const std::uint16_t* w) {
  return logistic(warp_product(x, w, gate_channels));
}

// What reaches the logits of all tokens and heads, [T, H], handed on to the 12 channels they were
// made of and to the weights. x and grad_x: [T, width], w: [H, 12]. grad_x is written in full.
void logits_backward(const std::vector<float>& grad_logit, int tokens, int heads, int width,
                     const std::uint16_t* x, const std::uint16_t* w, std::uint16_t* grad_x,
                     std::uint16_t* grad_w) {
  const auto logit = [&](int t, int h) {
    return grad_logit[static_cast<std::size_t>(t) * static_cast<std::size_t>(heads) +
                      static_cast<std::size_t>(h)];
  };
  std::fill_n(grad_x, tokens * width, std::uint16_t{0});
  for (int c = 0; c < gate_channels; ++c) {
    for (int t = 0; t < tokens; ++t) {
      grad_x[t * width + c] = to_bf16(warp_sum(
          heads, [&](int h) { return logit(t, h) * from_bf16(w[h * gate_channels + c]); }));
    }
    for (int h = 0; h < heads; ++h) {
      grad_w[h * gate_channels + c] = to_bf16(
          warp_sum(tokens, [&](int t) { return logit(t, h) * from_bf16(x[t * width + c]); }));
    }
  }
}

// Calls row(token, head, offset of its channels, gate).
template <class Row>
void for_each_row(HeadShape shape, const std::uint16_t* a, const std::uint16_t* w, const Row& row) {
  const int width = shape.heads * shape.head_dim;
  for (int t = 0; t < shape.tokens; ++t) {
    for (int h = 0; h < shape.heads; ++h) {
      row(t, h, t * width + h * shape.head_dim, gate_of(a + t * width, w + h * gate_channels));
    }
  }
}

}  // namespace

void output_gate_forward(HeadShape shape, const std::uint16_t* y, const std::uint16_t* a,
                         const std::uint16_t* w, std::uint16_t* gated) {
  for_each_row(shape, a, w, [&](int, int, int begin, float gate) {
    for (int i = begin; i < begin + shape.head_dim; ++i) gated[i] = to_bf16(gate * from_bf16(y[i]));
  });
}

void output_gate_backward(HeadShape shape, const std::uint16_t* y, const std::uint16_t* a,
                          const std::uint16_t* w, const std::uint16_t* grad_gated,
                          std::uint16_t* grad_y, std::uint16_t* grad_a, std::uint16_t* grad_w) {
  std::vector<float> grad_logit;
  for_each_row(shape, a, w, [&](int, int, int begin, float gate) {
    grad_logit.push_back(gate * (1 - gate) *
                         warp_product(grad_gated + begin, y + begin, shape.head_dim));
    for (int i = begin; i < begin + shape.head_dim; ++i) {
      grad_y[i] = to_bf16(gate * from_bf16(grad_gated[i]));
    }
  });
  logits_backward(grad_logit, shape.tokens, shape.heads, shape.heads * shape.head_dim, a, w, grad_a,
                  grad_w);
}

void value_mix_forward(HeadShape shape, const std::uint16_t* v, const std::uint16_t* ve,
                       const std::uint16_t* a, const std::uint16_t* w, std::uint16_t* mixed) {
  for_each_row(shape, a, w, [&](int, int, int begin, float gate) {
    for (int i = begin; i < begin + shape.head_dim; ++i) {
      mixed[i] = to_bf16(std::fma(gate + gate, from_bf16(ve[i]), from_bf16(v[i])));
    }
  });
}

void value_mix_backward(HeadShape shape, const std::uint16_t* ve, const std::uint16_t* a,
                        const std::uint16_t* w, const std::uint16_t* grad_mixed,
                        std::uint16_t* grad_v, std::uint16_t* grad_ve, std::uint16_t* grad_a,
                        std::uint16_t* grad_w) {
  std::vector<float> grad_logit;
  for_each_row(shape, a, w, [&](int, int, int begin, float gate) {
    grad_logit.push_back((gate + gate) * (1 - gate) *
                         warp_product(grad_mixed + begin, ve + begin, shape.head_dim));
    for (int i = begin; i < begin + shape.head_dim; ++i) {
      grad_v[i] = grad_mixed[i];
      grad_ve[i] = to_bf16((gate + gate) * from_bf16(grad_mixed[i]));
    }
  });
  logits_backward(grad_logit, shape.tokens, shape.heads, shape.heads * shape.head_dim, a, w, grad_a,
                  grad_w);
}

void skip_forward(TokenShape shape, const std::uint16_t* x, const std::uint16_t* x_skip,
                  const std::uint16_t* x0, const std::uint16_t* w, float theta,
                  std::uint16_t* mixed) {
  const float strength = 2 * logistic(theta);
  for (int t = 0; t < shape.tokens; ++t) {
    const int row = t * shape.width;
    const float gate = strength * gate_of(x0 + row, w);
    for (int i = row; i < row + shape.width; ++i) {
      mixed[i] = to_bf16(std::fma(gate, from_bf16(x_skip[i]), from_bf16(x[i])));
    }
  }
}

void skip_backward(TokenShape shape, const std::uint16_t* x_skip, const std::uint16_t* x0,
                   const std::uint16_t* w, float theta, const std::uint16_t* grad_mixed,
                   std::uint16_t* grad_x, std::uint16_t* grad_x_skip, std::uint16_t* grad_x0,
                   std::uint16_t* grad_w, float* grad_theta) {
  const float share = logistic(theta), strength = 2 * share;
  std::vector<float> grad_logit, weighted;  // one a token
  for (int t = 0; t < shape.tokens; ++t) {
    const int row = t * shape.width;
    const float gate = gate_of(x0 + row, w);
    const float grad_gate = gate * warp_product(grad_mixed + row, x_skip + row, shape.width);
    grad_logit.push_back(strength * (1 - gate) * grad_gate);
    weighted.push_back(2 * grad_gate);
    for (int i = row; i < row + shape.width; ++i) {
      grad_x[i] = grad_mixed[i];
      grad_x_skip[i] = to_bf16(strength * gate * from_bf16(grad_mixed[i]));
    }
  }
  *grad_theta = share * (1 - share) * warp_sum(shape.tokens, [&](int t) {
                  return weighted[static_cast<std::size_t>(t)];
                });
  logits_backward(grad_logit, shape.tokens, 1, shape.width, x0, w, grad_x0, grad_w);
}

void smear_forward(TokenShape shape, const std::uint16_t* e, const std::uint16_t* w, float lam,
                   std::uint16_t* s) {
  for (int t = 0; t < shape.tokens; ++t) {
    const int row = t * shape.width;
    const float gate = t == 0 ? 0 : lam * gate_of(e + row, w);
    for (int i = row; i < row + shape.width; ++i) {
      const float previous = t == 0 ? 0 : from_bf16(e[i - shape.width]);
      s[i] = to_bf16(std::fma(gate, previous, from_bf16(e[i])));
    }
  }
}

void smear_backward(TokenShape shape, const std::uint16_t* e, const std::uint16_t* w, float lam,
                    const std::uint16_t* grad_s, std::uint16_t* grad_e, std::uint16_t* grad_w,
                    float* grad_lam) {
  const int width = shape.width, tokens = shape.tokens;
  // By token; one place more, so that the last token has a next one that gives nothing.
  std::vector<float> gate(static_cast<std::size_t>(tokens) + 1), grad_logit = gate, weighted = gate;
  for (int t = 1; t < tokens; ++t) {
    const auto n = static_cast<std::size_t>(t);
    gate[n] = gate_of(e + t * width, w);
    weighted[n] = gate[n] * warp_product(grad_s + t * width, e + (t - 1) * width, width);
    grad_logit[n] = lam * (1 - gate[n]) * weighted[n];
  }
  *grad_lam = warp_sum(tokens, [&](int t) { return weighted[static_cast<std::size_t>(t)]; });
  for (int t = 0; t < tokens; ++t) {
    const auto n = static_cast<std::size_t>(t);
    for (int c = 0; c < width; ++c) {
      const int i = t * width + c;
      float sum = from_bf16(grad_s[i]);
      if (t + 1 < tokens) sum += lam * gate[n + 1] * from_bf16(grad_s[i + width]);
      if (c < gate_channels) sum += grad_logit[n] * from_bf16(w[c]);
      grad_e[i] = to_bf16(sum);
    }
  }
  for (int c = 0; c < gate_channels; ++c) {
    grad_w[c] = to_bf16(warp_sum(tokens, [&](int t) {
      return grad_logit[static_cast<std::size_t>(t)] * from_bf16(e[t * width + c]);
    }));
  }
}

}  // namespace pairedhead::gpu::emulated
