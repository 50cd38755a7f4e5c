#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "reference/rotary.h"
#include "tests/property/attention_case.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

struct RotaryCase {
  Tensor<double> x;
  bool paired;
  std::vector<float> frequency;
};

// Frequencies of the start or after a YaRN update, as the trainer has them.
RotaryCase fuzzed_case() {
  const Index tokens = *rc::gen::inRange<Index>(1, 40);
  const Index heads = *rc::gen::element<Index>(2, 4, 6);
  const Index head_dim = *rc::gen::element<Index>(8, 16, 20, 64, 128);
  RotaryState state = rotary_start(head_dim);
  if (*rc::gen::arbitrary<bool>()) state = yarn_update(state, 3, 7);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  return {normal_tensor({tokens, heads, head_dim}, random), *rc::gen::arbitrary<bool>(),
          state.frequency};
}

double norm_of(const Tensor<double>& x, Index row) {
  const double* values = x.data() + row * x.dim(2);
  double squares = 0;
  for (Index d = 0; d < x.dim(2); ++d) squares += values[d] * values[d];
  return std::sqrt(squares);
}

RC_GTEST_PROP(RotaryLaws, UnroundedTablesPreserveNorms, ()) {
  const RotaryCase c = fuzzed_case();
  const RotaryTable table = rotary_table_unrounded(c.frequency, c.x.dim(0), c.paired);
  const Tensor<double> y = rotary_apply(c.x, table.cosine, table.sine, c.paired);
  for (Index row = 0; row < c.x.dim(0) * c.x.dim(1); ++row) {
    const double norm = norm_of(c.x, row);
    RC_ASSERT(std::abs(norm_of(y, row) - norm) <= 1e-12 * norm);
  }
}

RC_GTEST_PROP(RotaryLaws, UnroundedBackwardIsTheInverse, ()) {
  const RotaryCase c = fuzzed_case();
  const RotaryTable table = rotary_table_unrounded(c.frequency, c.x.dim(0), c.paired);
  const Tensor<double> back = rotary_apply_backward(
      rotary_apply(c.x, table.cosine, table.sine, c.paired), table.cosine, table.sine, c.paired);
  for (Index i = 0; i < c.x.size(); ++i) {
    RC_ASSERT(std::abs(back[i] - c.x[i]) <= 1e-12 * norm_of(c.x, i / c.x.dim(2)));
  }
}

RC_GTEST_PROP(RotaryLaws, BackwardIsTheAdjointWithStoredTables, ()) {
  const RotaryCase c = fuzzed_case();
  const RotaryTable table = rotary_table(c.frequency, c.x.dim(0), c.paired);
  Random random(1);
  const Tensor<double> g = normal_tensor(c.x.shape(), random);
  InnerProduct left, right;
  left.add(rotary_apply(c.x, table.cosine, table.sine, c.paired), g);
  right.add(c.x, rotary_apply_backward(g, table.cosine, table.sine, c.paired));
  RC_ASSERT(disagreement(left, right) <= certified_limit);
}

// One query vector at all positions against one key vector at all: equal distances give equal
// scores. The distance is 2 dt, and 2 dt -+ 1 between heads of unlike parity (SPEC §3.7).
RC_GTEST_PROP(RotaryLaws, ScoresDependOnTheDistanceOnly, ()) {
  const RotaryCase c = fuzzed_case();
  const Index tokens = c.x.dim(0), heads = c.x.dim(1), head_dim = c.x.dim(2);
  Tensor<double> q(c.x.shape()), k(c.x.shape());
  Random random(2);
  const Tensor<double> vectors = normal_tensor({2, head_dim}, random);
  for (Index i = 0; i < q.size(); ++i) {
    q[i] = vectors(0, i % head_dim);
    k[i] = vectors(1, i % head_dim);
  }
  const RotaryTable table = rotary_table_unrounded(c.frequency, tokens, c.paired);
  q = rotary_apply(q, table.cosine, table.sine, c.paired);
  k = rotary_apply(k, table.cosine, table.sine, c.paired);
  const Pairing pairing = c.paired ? Pairing::strided : Pairing::none;
  const auto score = [&](Index t, Index h, Index u, Index g) {
    double sum = 0;
    for (Index d = 0; d < head_dim; ++d) sum += q(t, h, d) * k(u, g, d);
    return sum;
  };
  const double scale = norm_of(q, 0) * norm_of(k, 0);
  std::map<Index, double> by_distance;
  for (Index t = 0; t < tokens; ++t) {
    for (Index u = 0; u < tokens; ++u) {
      for (Index g = 0; g < heads; ++g) {
        const Index h = (g + heads / 2) % heads;
        const Index distance = rotary_position(t, h, pairing) - rotary_position(u, g, pairing);
        const double s = score(t, h, u, g);
        const auto [first, is_new] = by_distance.emplace(distance, s);
        RC_ASSERT(is_new || std::abs(first->second - s) <= 1e-12 * scale);
      }
    }
  }
}

// The paired table is the plain one read at rotary_position, head by head.
RC_GTEST_PROP(RotaryLaws, PairedIsPlainAtTheHeadsPosition, ()) {
  RotaryCase c = fuzzed_case();
  const Index tokens = c.x.dim(0), heads = c.x.dim(1), head_dim = c.x.dim(2);
  const RotaryTable paired = rotary_table(c.frequency, tokens, true);
  const RotaryTable plain = rotary_table(c.frequency, 2 * tokens, false);
  const Tensor<double> y = rotary_apply(c.x, paired.cosine, paired.sine, true);
  for (Index h = 0; h < heads; ++h) {
    Tensor<double> spread({2 * tokens, 1, head_dim});
    for (Index t = 0; t < tokens; ++t) {
      std::copy_n(&c.x(t, h, 0), head_dim, &spread(rotary_position(t, h, Pairing::strided), 0, 0));
    }
    const Tensor<double> rotated = rotary_apply(spread, plain.cosine, plain.sine, false);
    for (Index t = 0; t < tokens; ++t) {
      const Index position = rotary_position(t, h, Pairing::strided);
      RC_ASSERT(std::equal(&y(t, h, 0), &y(t, h, 0) + head_dim, &rotated(position, 0, 0)));
    }
  }
}

// Position 0 is the identity, whatever the frequencies.
RC_GTEST_PROP(RotaryLaws, PositionZeroIsTheIdentity, ()) {
  const RotaryCase c = fuzzed_case();
  const RotaryTable table = rotary_table(c.frequency, c.x.dim(0), c.paired);
  const Tensor<double> y = rotary_apply(c.x, table.cosine, table.sine, c.paired);
  for (Index h = 0; h < c.x.dim(1); h += c.paired ? 2 : 1) {
    RC_ASSERT(std::equal(&y(0, h, 0), &y(0, h, 0) + c.x.dim(2), &c.x(0, h, 0)));
  }
}

}  // namespace
}  // namespace pairedhead::reference
