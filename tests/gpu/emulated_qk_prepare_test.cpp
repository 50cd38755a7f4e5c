#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/qk_prepare.h"
#include "gpu/emulated/yarn.h"

namespace pairedhead::gpu::emulated {
namespace {

using Bits = std::vector<std::uint16_t>;
using Matrix = std::vector<double>;

constexpr double u = 0x1p-8;     // bf16, one rounding at the end
constexpr double u32 = 0x1p-16;  // 128 fp32 additions and a dozen operations at their worst

Bits random_bits(std::size_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Bits bits(size);
  for (auto& x : bits) x = to_bf16(normal(generator));
  return bits;
}

double value(const Bits& bits, int index) {
  return from_bf16(bits[static_cast<std::size_t>(index)]);
}

// Where an output channel comes from: own * x[d] + partner * x[d xor 1] of the normalised row of
// that token and the same head.
struct Source {
  int token;
  double own, partner;
};

struct Definition {
  const QkPrepareProblem& problem;
  const Bits &cosine, &sine;

  Source source(int t, int h, int d, bool is_key) const {
    const int quarter = 4 * d / problem.head_dim;
    const bool moved = is_key && problem.shift_keys && (quarter == 1 || quarter == 3);
    const int token = moved ? std::max(t - 1, 0) : t;
    const int width = problem.paired ? 2 * problem.head_dim : problem.head_dim;
    const int column = token * width + (problem.paired ? (h % 2) * problem.head_dim : 0) + d;
    return {token, value(cosine, column), value(sine, column)};
  }
};

class EmulatedQkPrepare : public ::testing::TestWithParam<int> {};

// A key of tokens x heads x head_dim, forward by the definition and backward by its transpose.
TEST_P(EmulatedQkPrepare, AgreesWithItsDefinitionInDouble) {
  const int flags = GetParam();
  const bool is_key = flags & 8;
  for (int tokens : {1, 2, 7}) {
    const QkPrepareProblem problem = {.tokens = tokens,
                                      .heads = 6,
                                      .head_dim = 24,
                                      .normalise = (flags & 1) != 0,
                                      .paired = (flags & 2) != 0,
                                      .shift_keys = (flags & 4) != 0};
    const int head_dim = problem.head_dim, size = tokens * problem.heads * head_dim;
    const auto count = static_cast<std::size_t>(size);
    const Bits x = random_bits(count, 1), grad = random_bits(count, 2);
    // A sine must be antisymmetric within a pair, a cosine symmetric, as in a real table.
    Bits cosine = random_bits(static_cast<std::size_t>(2 * tokens * head_dim), 3);
    Bits sine = random_bits(cosine.size(), 4);
    for (std::size_t i = 0; i < sine.size(); i += 2) {
      cosine[i + 1] = cosine[i];
      sine[i + 1] = sine[i] ^ 0x8000u;
    }
    Bits other(count), y(count, 0x7fc0), grad_x(count, 0x7fc0);
    qk_prepare_forward(problem, x.data(), x.data(), cosine.data(), sine.data(),
                       is_key ? other.data() : y.data(), is_key ? y.data() : other.data());
    qk_prepare_backward(problem, x.data(), x.data(), cosine.data(), sine.data(), grad.data(),
                        grad.data(), is_key ? other.data() : grad_x.data(),
                        is_key ? grad_x.data() : other.data());

    const Definition definition{problem, cosine, sine};
    const auto row = [&](int t, int h) { return (t * problem.heads + h) * head_dim; };
    const auto inverse_rms = [&](int t, int h) {
      double sum = 0;
      for (int d = 0; d < head_dim; ++d) sum += std::pow(value(x, row(t, h) + d), 2);
      return problem.normalise ? 1 / std::sqrt(sum / head_dim + 0x1p-23) : 1.0;
    };
    Matrix through(count), through_magnitude(count);  // gradient of the normalised rows
    for (int t = 0; t < tokens; ++t) {
      for (int h = 0; h < problem.heads; ++h) {
        for (int d = 0; d < head_dim; ++d) {
          const Source s = definition.source(t, h, d, is_key);
          const int from = row(s.token, h);
          const double r = inverse_rms(s.token, h);
          const double own = s.own * r * value(x, from + d);
          const double partner = s.partner * r * value(x, from + (d ^ 1));
          ASSERT_LE(std::abs(value(y, row(t, h) + d) - (own + partner)),
                    u * std::abs(own + partner) + u32 * (std::abs(own) + std::abs(partner)))
              << "forward T=" << tokens << " t=" << t << " h=" << h << " d=" << d;
          const double g = value(grad, row(t, h) + d);
          const auto add = [&](int channel, double term) {
            through[static_cast<std::size_t>(from + channel)] += term;
            through_magnitude[static_cast<std::size_t>(from + channel)] += std::abs(term);
          };
          add(d, s.own * g);
          add(d ^ 1, s.partner * g);
        }
      }
    }
    for (int t = 0; t < tokens; ++t) {
      for (int h = 0; h < problem.heads; ++h) {
        const double r = inverse_rms(t, h);
        double mean = 0, mean_magnitude = 0;
        for (int d = 0; d < head_dim && problem.normalise; ++d) {
          const double y_d = r * value(x, row(t, h) + d) / head_dim;
          mean += through[static_cast<std::size_t>(row(t, h) + d)] * y_d;
          mean_magnitude +=
              through_magnitude[static_cast<std::size_t>(row(t, h) + d)] * std::abs(y_d);
        }
        for (int d = 0; d < head_dim; ++d) {
          const auto n = static_cast<std::size_t>(row(t, h) + d);
          const double y_d = r * value(x, row(t, h) + d);
          const double wanted = r * (through[n] - y_d * mean);
          const double terms = r * (through_magnitude[n] + std::abs(y_d) * mean_magnitude);
          ASSERT_LE(std::abs(from_bf16(grad_x[n]) - wanted), u * std::abs(wanted) + u32 * terms)
              << "backward T=" << tokens << " t=" << t << " h=" << h << " d=" << d;
        }
      }
    }
  }
}

// Bit 0 normalise, 1 paired, 2 shift, 3 the key rather than the query.
INSTANTIATE_TEST_SUITE_P(Switches, EmulatedQkPrepare, ::testing::Range(0, 16));

TEST(EmulatedRotaryTable, TurnsTheUnitVectorAsTheSpecSays) {
  const std::vector<float> frequency(8, 1.0f);
  Bits cosine(32), sine(32);
  rotary_table(frequency.data(), 2, 8, true, cosine.data(), sine.data());
  // Position 1 (SPEC §3.4): cos 0.5390625, and the odd channel takes minus the sine.
  EXPECT_EQ(from_bf16(cosine[8]), 0.5390625f);
  EXPECT_EQ(from_bf16(sine[8]), 0.83984375f);
  EXPECT_EQ(from_bf16(sine[9]), -0.83984375f);
  // Position 0 does not turn; position 3 is the second of token 1.
  EXPECT_EQ(from_bf16(cosine[0]), 1.0f);
  EXPECT_EQ(from_bf16(sine[0]), 0.0f);
  EXPECT_EQ(cosine[24], to_bf16(std::cos(3.0f)));
}

TEST(EmulatedYarn, ReproducesTheSpecsTable) {
  std::vector<float> frequency(128);
  for (int d = 0; d < 64; ++d) {
    const int pair = d / 2;
    frequency[static_cast<std::size_t>(d)] = static_cast<float>(std::pow(1024.0, -pair / 31.0));
  }
  double scale = 0.1;
  yarn_update(frequency.data(), 128, &scale, 3, 7, 128);
  EXPECT_NEAR(scale, 0.116945957, 5e-10);  // nine digits are printed
  EXPECT_EQ(frequency[0], 1.0f);
  EXPECT_NEAR(frequency[16], 0.100042, 5e-7);
  EXPECT_NEAR(frequency[62], 0.000418527, 5e-10);
  EXPECT_EQ(frequency[64], 0.0f);
}

}  // namespace
}  // namespace pairedhead::gpu::emulated
