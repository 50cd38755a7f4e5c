#pragma once

#include <rapidcheck.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "reference/attention.h"
#include "reference/random.h"
#include "tests/reference/support.h"

// Fuzzed attention: shape, documents, window and seeded values.

namespace pairedhead::testing {

struct AttentionCase {
  Index heads = 2, head_dim = 16;
  reference::AttentionSettings settings;
  std::uint64_t seed = 0;

  Index tokens() const { return settings.cu_seqlens.back(); }
  Shape shape() const { return {tokens(), heads, head_dim}; }
};

inline std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  const char* pairings[] = {"none", "strided", "adjacent"};
  out << "H=" << c.heads << " D=" << c.head_dim
      << " pairing=" << pairings[static_cast<int>(c.settings.pairing)]
      << " window=" << c.settings.window << " kappa=" << c.settings.softmax_scale
      << " seed=" << c.seed << " cu_seqlens=";
  for (const Index entry : c.settings.cu_seqlens) out << entry << ' ';
  return out;
}

// Documents of 0 to longest tokens, at least one token in all.
inline rc::Gen<std::vector<Index>> document_boundaries(Index longest) {
  return rc::gen::map(
      rc::gen::container<std::vector<Index>>(rc::gen::inRange<Index>(0, longest + 1)),
      [](std::vector<Index> lengths) {
        constexpr std::size_t most_documents = 6;
        lengths.resize(std::min(lengths.size(), most_documents));
        std::vector<Index> cu = {0};
        for (const Index length : lengths) cu.push_back(cu.back() + length);
        if (cu.back() == 0) cu.push_back(1);
        return cu;
      });
}

struct CaseLimits {
  Index longest_document = 8;
  std::vector<Index> head_dims = {16, 32, 64, 128};
  std::vector<Pairing> pairings = {Pairing::none, Pairing::strided, Pairing::adjacent};
};

inline rc::Gen<AttentionCase> attention_cases(const CaseLimits& limits = {}) {
  return rc::gen::exec([limits] {
    AttentionCase c;
    c.heads = *rc::gen::element<Index>(2, 4, 6);
    c.head_dim = *rc::gen::elementOf(limits.head_dims);
    c.settings.pairing = *rc::gen::elementOf(limits.pairings);
    c.settings.cu_seqlens = *document_boundaries(limits.longest_document);
    // From one row to more than the doubled sequence.
    c.settings.window = *rc::gen::inRange<Index>(1, 2 * c.tokens() + 4);
    c.settings.softmax_scale = *rc::gen::element(0.1, 0.131777988, 1.0);
    c.seed = *rc::gen::arbitrary<std::uint64_t>();
    return c;
  });
}

struct AttentionInputs {
  Tensor<double> q, k, v, g;
};

inline AttentionInputs draw_inputs(const AttentionCase& c) {
  Random random(c.seed);
  AttentionInputs inputs;
  for (Tensor<double>* x : {&inputs.q, &inputs.k, &inputs.v, &inputs.g}) {
    *x = normal_tensor(c.shape(), random);
  }
  return inputs;
}

inline reference::AttentionForward<double> forward(const AttentionInputs& x,
                                                   const reference::AttentionSettings& settings) {
  return reference::attention_forward(x.q, x.k, x.v, settings, Rounding::exact());
}

inline reference::AttentionGradients<double> backward(
    const AttentionInputs& x, const reference::AttentionSettings& settings) {
  return reference::attention_backward(x.q, x.k, x.v, x.g, settings, Rounding::exact());
}

// Bit by bit, shapes included.
inline bool same(const Tensor<double>& a, const Tensor<double>& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.values(), b.values());
}

// Tokens [first, last) of [T, ...].
inline Tensor<double> tokens_of(const Tensor<double>& x, Index first, Index last) {
  Shape shape = x.shape();
  shape[0] = last - first;
  Tensor<double> part(shape);
  std::copy_n(x.data() + first * (x.size() / x.dim(0)), part.size(), part.data());
  return part;
}

// Heads of [T, H, ...] in another order: head h of the result is head order[h] of x.
inline Tensor<double> reorder_heads(const Tensor<double>& x, const std::vector<Index>& order) {
  const Index tokens = x.dim(0), heads = x.dim(1), width = x.size() / (tokens * heads);
  Tensor<double> result(x.shape());
  for (Index t = 0; t < tokens; ++t) {
    for (Index h = 0; h < heads; ++h) {
      const Index from = order[static_cast<std::size_t>(h)];
      std::copy_n(x.data() + (t * heads + from) * width, width,
                  result.data() + (t * heads + h) * width);
    }
  }
  return result;
}

}  // namespace pairedhead::testing
