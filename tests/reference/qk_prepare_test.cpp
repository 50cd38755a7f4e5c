#include "reference/qk_prepare.h"

#include <gtest/gtest.h>

#include "reference/key_shift.h"
#include "reference/qk_norm.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

const std::vector<QkPrepareSettings> all_settings = [] {
  std::vector<QkPrepareSettings> all;
  for (const bool normalise : {false, true}) {
    for (const bool paired : {false, true}) {
      for (const bool shift : {false, true}) all.push_back({normalise, paired, shift});
    }
  }
  return all;
}();

struct Case {
  QueryKey<double> raw, grad;
  RotaryTable table;
};

Case make_case(const QkPrepareSettings& settings, std::uint64_t seed) {
  Random random(seed);
  const Shape shape = {6, 4, 16};
  Case c;
  for (Tensor<double>* x : {&c.raw.query, &c.raw.key, &c.grad.query, &c.grad.key}) {
    *x = normal_tensor(shape, random);
  }
  c.table = rotary_table(rotary_start(16).frequency, 6, settings.paired);
  return c;
}

// Written out channel by channel for one head, in the order of SPEC §3.6.2-4.
TEST(QkPrepare, ShiftedChannelsCarryTheRotationOfTheTokenBefore) {
  for (const QkPrepareSettings& settings : all_settings) {
    const Case c = make_case(settings, 1);
    const auto prepared = qk_prepare(c.raw, c.table.cosine, c.table.sine, settings);
    const auto rotated = [&](const Tensor<double>& x, Index t, Index h, Index d) {
      double r = 1;
      if (settings.normalise) {
        double squares = 0;
        for (Index e = 0; e < 16; ++e) squares += x(t, h, e) * x(t, h, e);
        r = 1 / std::sqrt(squares / 16 + rms_epsilon);
      }
      const Index column = settings.paired ? h % 2 * 16 + d : d;
      return c.table.cosine(t, column) * r * x(t, h, d) +
             c.table.sine(t, column) * r * x(t, h, d ^ 1);
    };
    for (Index t = 0; t < 6; ++t) {
      for (Index h = 0; h < 4; ++h) {
        for (Index d = 0; d < 16; ++d) {
          const bool shifted = settings.shift_keys && is_shifted_channel(d, 16) && t > 0;
          EXPECT_NEAR(prepared.query(t, h, d), rotated(c.raw.query, t, h, d), 1e-14);
          EXPECT_NEAR(prepared.key(t, h, d), rotated(c.raw.key, shifted ? t - 1 : t, h, d), 1e-14);
        }
      }
    }
  }
}

TEST(QkPrepare, BackwardIsTheTransposedDerivative) {
  Random random(2);
  for (const QkPrepareSettings& settings : all_settings) {
    const Case c = make_case(settings, 3);
    const Tensor<double> dq = normal_tensor(c.raw.query.shape(), random);
    const Tensor<double> dk = normal_tensor(c.raw.query.shape(), random);
    const auto moved = qk_prepare(QueryKey<Dual>{dual(c.raw.query, dq), dual(c.raw.key, dk)},
                                  cast<Dual>(c.table.cosine), cast<Dual>(c.table.sine), settings);
    const auto grad = qk_prepare_backward(c.raw, c.grad, c.table.cosine, c.table.sine, settings);
    InnerProduct query_forwards, query_backwards, key_forwards, key_backwards;
    query_forwards.add(c.grad.query, moved.query);
    query_backwards.add(grad.query, dq);
    key_forwards.add(c.grad.key, moved.key);
    key_backwards.add(grad.key, dk);
    EXPECT_LE(disagreement(query_forwards, query_backwards), certified_limit);
    EXPECT_LE(disagreement(key_forwards, key_backwards), certified_limit);
  }
}

TEST(QkPrepare, RefusesShapesThatDiffer) {
  const Case c = make_case({}, 4);
  const QueryKey<double> uneven{c.raw.query, Tensor<double>({6, 2, 16})};
  EXPECT_THROW(qk_prepare(uneven, c.table.cosine, c.table.sine, {}), InputError);
  EXPECT_THROW(qk_prepare_backward(c.raw, uneven, c.table.cosine, c.table.sine, {}), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
