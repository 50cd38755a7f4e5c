#include "reference/rotary.h"

#include <gtest/gtest.h>
#include <quadmath.h>

#include "reference/dtype.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// Nearest value with six significant digits, as SPEC §3.5 prints its table.
std::string printed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

struct Stage {
  Index old_blocks, new_blocks;
  const char* softmax_scale;
  std::vector<const char*> frequencies;  // at m = 0, 8, 16, 24, 31
  int kept, interpolated;                // how many m have iota = 1 and iota = 0
};

TEST(Rotary, YarnReproducesTheSpecificationsTable) {  // SPEC §3.5
  RotaryState state = rotary_start(128);
  EXPECT_EQ(state.softmax_scale, 0.1);
  const int sampled[] = {0, 8, 16, 24, 31};
  const auto expect_frequencies = [&](const std::vector<const char*>& expected) {
    for (std::size_t i = 0; i < 5; ++i) {
      for (const int channel : {2 * sampled[i], 2 * sampled[i] + 1}) {
        EXPECT_EQ(printed(state.frequency[static_cast<std::size_t>(channel)]), expected[i]);
      }
    }
  };
  expect_frequencies({"1", "0.167166", "0.0279445", "0.00467138", "0.000976562"});
  const Stage stages[] = {
      {3, 7, "0.116945957", {"1", "0.100042", "0.0123408", "0.00200202", "0.000418527"}, 3, 13},
      {7, 11, "0.127517524", {"1", "0.0792315", "0.00796326", "0.00127401", "0.000266335"}, 6, 13},
      {11, 13, "0.131777988", {"1", "0.0736302", "0.00676914", "0.00107801", "0.000225361"}, 7, 13},
  };
  for (const Stage& stage : stages) {
    const RotaryState before = state;
    state = yarn_update(before, stage.old_blocks, stage.new_blocks);
    expect_frequencies(stage.frequencies);
    char scale[32];
    std::snprintf(scale, sizeof scale, "%.9f", state.softmax_scale);
    EXPECT_STREQ(scale, stage.softmax_scale);
    int kept = 0, interpolated = 0;
    const double ratio =
        static_cast<double>(stage.old_blocks) / static_cast<double>(stage.new_blocks);
    for (std::size_t m = 0; m < 32; ++m) {
      const float was = before.frequency[2 * m], is = state.frequency[2 * m];
      kept += is == was;
      interpolated += is == static_cast<float>(static_cast<double>(was) * ratio);
    }
    EXPECT_EQ(kept, stage.kept);
    EXPECT_EQ(interpolated, stage.interpolated);
    for (std::size_t d = 64; d < 128; ++d) EXPECT_EQ(state.frequency[d], 0);
  }
}

TEST(Rotary, StartFrequenciesAreTheNearestFloats) {  // SPEC §3.4
  for (const Index head_dim : {8, 16, 20, 64, 128}) {
    const RotaryState state = rotary_start(head_dim);
    ASSERT_EQ(static_cast<Index>(state.frequency.size()), head_dim);
    const Index pairs = head_dim / 4;
    for (Index m = 0; m < pairs; ++m) {
      const Float128 exact =
          powq(1024, -Float128(static_cast<double>(m)) / static_cast<double>(pairs - 1));
      const float is = state.frequency[static_cast<std::size_t>(2 * m)];
      const Float128 error = fabsq(Float128(is) - exact);
      EXPECT_LE(static_cast<double>(error), static_cast<double>(std::nextafter(is, 2.0f) - is) / 2);
    }
    for (Index d = head_dim / 2; d < head_dim; ++d) {
      EXPECT_EQ(state.frequency[static_cast<std::size_t>(d)], 0);
    }
  }
}

TEST(Rotary, UnitVectorAtPositionOne) {  // SPEC §3.4: rotation by minus theta
  const RotaryTable table = rotary_table(rotary_start(128).frequency, 2, false);
  Tensor<double> x({2, 1, 128});
  x(1, 0, 0) = 1;
  const Tensor<double> y = rotary_apply(x, table.cosine, table.sine, false);
  EXPECT_EQ(y(1, 0, 0), 0.5390625);
  EXPECT_EQ(y(1, 0, 1), -0.83984375);
  for (Index d = 2; d < 128; ++d) EXPECT_EQ(y(1, 0, d), 0);
}

// Against __float128 functions of the fp32 angle, up to the largest position the record reads.
TEST(Rotary, TableIsTheRoundedCosineOfTheFp32Angle) {
  const std::vector<float> frequency = yarn_update(rotary_start(16), 3, 7).frequency;
  const Index tokens = 524288;
  const RotaryTable table = rotary_table(frequency, tokens, false);
  for (Index t = 0; t < tokens; t += t < 64 ? 1 : 4099) {
    for (Index d = 0; d < 16; ++d) {
      const float theta = static_cast<float>(t) * frequency[static_cast<std::size_t>(d)];
      const auto cosine = static_cast<float>(cosq(Float128(theta)));
      const auto sine = static_cast<float>(sinq(Float128(theta)));
      EXPECT_EQ(table.cosine(t, d), round_to(DType::bf16, cosine));
      EXPECT_EQ(table.sine(t, d), (d % 2 == 0 ? 1 : -1) * round_to(DType::bf16, sine));
    }
  }
}

TEST(Rotary, StationaryChannelsAreUntouched) {
  const RotaryTable table = rotary_table(rotary_start(32).frequency, 50, true);
  for (Index t = 0; t < 50; ++t) {
    for (const Index block : {0, 32}) {
      for (Index d = 16; d < 32; ++d) {
        EXPECT_EQ(table.cosine(t, block + d), 1);
        EXPECT_EQ(table.sine(t, block + d), 0);
      }
    }
  }
}

TEST(Rotary, PairedTableHoldsTwoPositionsARow) {  // SPEC §3.4
  const std::vector<float> frequency = rotary_start(16).frequency;
  const RotaryTable plain = rotary_table(frequency, 20, false);
  const RotaryTable paired = rotary_table(frequency, 10, true);
  ASSERT_EQ(paired.cosine.shape(), (Shape{10, 32}));
  for (Index t = 0; t < 10; ++t) {
    for (Index c = 0; c < 32; ++c) {
      EXPECT_EQ(paired.cosine(t, c), plain.cosine(2 * t + c / 16, c % 16));
      EXPECT_EQ(paired.sine(t, c), plain.sine(2 * t + c / 16, c % 16));
    }
  }
}

TEST(Rotary, StaggerFollowsHeadParity) {  // SPEC §0.2, table of §3.7
  const Index positions[] = {0, 1, 0, 1, 0, 1};
  for (Index h = 0; h < 6; ++h) {
    EXPECT_EQ(rotary_position(5, h, Pairing::strided), 10 + positions[h]);
    EXPECT_EQ(rotary_position(5, h, Pairing::adjacent), 10 + h % 2);
    EXPECT_EQ(rotary_position(5, h, Pairing::none), 5);
  }
}

TEST(Rotary, BackwardIsTheTransposedDerivative) {
  Random random(1);
  for (const bool paired : {false, true}) {
    const Shape shape = {7, 6, 16};
    const RotaryTable table = rotary_table(rotary_start(16).frequency, 7, paired);
    const Tensor<double> x = normal_tensor(shape, random), dx = normal_tensor(shape, random);
    const Tensor<double> g = normal_tensor(shape, random);
    InnerProduct forwards, backwards;
    forwards.add(
        g, rotary_apply(dual(x, dx), cast<Dual>(table.cosine), cast<Dual>(table.sine), paired));
    backwards.add(rotary_apply_backward(g, table.cosine, table.sine, paired), dx);
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

TEST(Rotary, DoubleIsAsGoodAsItsRoundingsAllow) {  // two products and a sum
  Random random(2);
  const Tensor<double> x = normal_tensor({9, 4, 32}, random);
  const RotaryTable table = rotary_table(rotary_start(32).frequency, 9, true);
  const auto run = [&]<class Scalar>(Scalar, auto function) {
    return function(cast<Scalar>(x), cast<Scalar>(table.cosine), cast<Scalar>(table.sine), true);
  };
  const auto forward = [](const auto&... arguments) { return rotary_apply(arguments...); };
  const auto backward = [](const auto&... arguments) {
    return rotary_apply_backward(arguments...);
  };
  EXPECT_LE(
      worst_roundoffs(run(double{}, forward), run(Float128{}, forward), run(Magnitude{}, forward)),
      2);
  EXPECT_LE(worst_roundoffs(run(double{}, backward), run(Float128{}, backward),
                            run(Magnitude{}, backward)),
            2);
}

TEST(Rotary, RefusesWhatItCannotRotate) {
  EXPECT_THROW(rotary_start(4), InputError);
  EXPECT_THROW(rotary_start(18), InputError);
  EXPECT_THROW(yarn_update(rotary_start(16), 0, 7), InputError);
  EXPECT_THROW(yarn_update(rotary_start(16), 3, -1), InputError);
  EXPECT_THROW(yarn_update(rotary_start(16), 3, 7, 0), InputError);
  EXPECT_THROW(rotary_table(rotary_start(16).frequency, 0, false), InputError);
  const RotaryTable table = rotary_table(rotary_start(16).frequency, 4, true);
  EXPECT_THROW(rotary_apply(Tensor<double>({4, 3, 16}), table.cosine, table.sine, true),
               InputError);
  EXPECT_THROW(rotary_apply(Tensor<double>({4, 2, 16}), table.cosine, table.sine, false),
               InputError);
  EXPECT_THROW(rotary_apply_backward(Tensor<double>({5, 2, 16}), table.cosine, table.sine, true),
               InputError);
}

}  // namespace
}  // namespace pairedhead::reference
