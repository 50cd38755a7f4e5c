#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "reference/interleave.h"
#include "reference/key_shift.h"
#include "tests/property/attention_case.h"

// Interleave and key shift move values and do no arithmetic that matters.

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

Tensor<double> fuzzed_tensor() {
  const Index tokens = *rc::gen::inRange<Index>(1, 40);
  const Index heads = *rc::gen::element<Index>(2, 4, 6);
  const Index head_dim = *rc::gen::element<Index>(8, 16, 24, 64, 128);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  return normal_tensor({tokens, heads, head_dim}, random);
}

Pairing fuzzed_pairing() { return *rc::gen::element(Pairing::strided, Pairing::adjacent); }

RC_GTEST_PROP(MovementLaws, InterleaveIsABijection, ()) {
  const Tensor<double> x = fuzzed_tensor();
  const Pairing pairing = fuzzed_pairing();
  const Tensor<double> flat = interleave(x, pairing);
  RC_ASSERT(same(deinterleave(flat, pairing), x));
  // And from the other side.
  RC_ASSERT(same(interleave(deinterleave(flat, pairing), pairing), flat));
  if (pairing == Pairing::strided) RC_ASSERT(std::ranges::equal(flat.values(), x.values()));
}

RC_GTEST_PROP(MovementLaws, TheViewTouchesEveryElementOnce, ()) {
  const Tensor<double> x = fuzzed_tensor();
  const PairedView view = paired_view(x.dim(1), x.dim(2), fuzzed_pairing());
  std::set<Index> offsets;
  for (Index row = 0; row < 2 * x.dim(0); ++row) {
    for (Index slot = 0; slot < x.dim(1) / 2; ++slot) {
      const Index offset = view.offset(row, slot);
      RC_ASSERT(offset % x.dim(2) == 0);
      RC_ASSERT(0 <= offset && offset < x.size());
      offsets.insert(offset);
    }
  }
  RC_ASSERT(static_cast<Index>(offsets.size()) == x.dim(0) * x.dim(1));
}

RC_GTEST_PROP(MovementLaws, DeinterleaveIsTheAdjointOfInterleave, ()) {
  const Tensor<double> x = fuzzed_tensor();
  const Pairing pairing = fuzzed_pairing();
  Random random(1);
  const Tensor<double> y = normal_tensor({2 * x.dim(0), x.dim(1) / 2, x.dim(2)}, random);
  InnerProduct left, right;
  left.add(interleave(x, pairing), y);
  right.add(x, deinterleave(y, pairing));
  RC_ASSERT(disagreement(left, right) <= certified_limit);
}

RC_GTEST_PROP(MovementLaws, KeyShiftHasItsAdjoint, ()) {
  const Tensor<double> x = fuzzed_tensor();
  Random random(2);
  const Tensor<double> y = normal_tensor(x.shape(), random);
  InnerProduct left, right;
  left.add(key_shift(x), y);
  right.add(x, key_shift_backward(y));
  RC_ASSERT(disagreement(left, right) <= certified_limit);
}

// What token t shows depends on tokens t - 1 and t only, so a shift of a prefix is a prefix of the
// shift; and no value is invented.
RC_GTEST_PROP(MovementLaws, KeyShiftLooksOneTokenBackOnly, ()) {
  const Tensor<double> x = fuzzed_tensor();
  const Index cut = *rc::gen::inRange<Index>(1, x.dim(0) + 1);
  RC_ASSERT(same(key_shift(tokens_of(x, 0, cut)), tokens_of(key_shift(x), 0, cut)));
  const Tensor<double> shifted = key_shift(x);
  Index moved = 0;
  const Index row = x.dim(1) * x.dim(2);
  for (Index i = 0; i < x.size(); ++i) {
    if (shifted[i] == x[i]) continue;
    RC_ASSERT(i >= row && shifted[i] == x[i - row]);
    ++moved;
  }
  RC_ASSERT(moved == (x.dim(0) - 1) * row / 2);
}

}  // namespace
}  // namespace pairedhead::reference
