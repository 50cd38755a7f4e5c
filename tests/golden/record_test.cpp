#include <algorithm>
#include <cstdlib>

#include "golden/hdf5_file.h"
#include "reference/qk_norm.h"
#include "reference/qk_prepare.h"
#include "reference/rotary.h"
#include "tests/golden/golden_support.h"
#include "tools/components/parameters.h"

// The reference against what came out of the record's own program (tools/oracle/record.py).
// Tolerance: 1e-12 of the largest sum of |terms| in the tensor; tables and windows are equal; the
// fp32 frequencies, which the record computes in fp32, lie within four fp32 roundoffs.

namespace pairedhead {
namespace {

using testing::golden_folder;

class Record : public ::testing::TestWithParam<const char*> {};

TEST_P(Record, AgreesWithTheReference) {
  testing::expect_agreement(golden_folder() / "record" / (std::string(GetParam()) + ".h5"),
                            "record");
}

INSTANTIATE_TEST_SUITE_P(Components, Record,
                         ::testing::Values("attention_paired", "qk_prepare", "rotary_plain",
                                           "rotary_paired", "rotary_table", "yarn_update",
                                           "window_schedule", "learning_rate", "momentum_schedule"),
                         [](const auto& info) { return std::string(info.param); });

// Findings 1, 2 and the undoubled window of SPEC §0, §3.7: the other readings do not reproduce the
// record where they can be told apart (H = 6).
GoldenCase record_case(const std::string& component, const std::string& name) {
  for (const GoldenCase& golden : read_golden(golden_folder() / "record" / (component + ".h5"))) {
    if (golden.name == name) return golden;
  }
  throw InputError("no record case " + name);
}

TEST(RecordReading, PairsAreHalfTheHeadsApart) {
  GoldenCase golden = record_case("attention_paired", "record_case03");
  ASSERT_TRUE(check_golden(golden).holds());
  golden.parameters = Parameters::parse(golden.parameters).set("pairing", "adjacent").text();
  EXPECT_EQ(check_golden(golden).complaints.size(), 4u);  // y and three gradients
}

TEST(RecordReading, TheWindowIsNotDoubledAndItsEndIsIncluded) {
  GoldenCase golden = record_case("attention_paired", "record_case05");
  ASSERT_TRUE(check_golden(golden).holds());
  for (int window : {6, 11, 13, 24}) {
    golden.inputs.at("window").set(0, window);
    EXPECT_EQ(check_golden(golden).complaints.size(), 4u) << window;
  }
}

// Heads from and to the order in which a head's parity is its row-in-pair: 0, 3, 1, 4, 2, 5.
Tensor<double> by_pair(const Tensor<double>& x, bool to) {
  constexpr Index order[] = {0, 3, 1, 4, 2, 5};
  Tensor<double> y(x.shape());
  for (Index t = 0; t < x.dim(0); ++t) {
    for (Index h = 0; h < 6; ++h) {
      for (Index d = 0; d < x.dim(2); ++d) {
        (to ? y(t, h, d) : y(t, order[h], d)) = to ? x(t, order[h], d) : x(t, h, d);
      }
    }
  }
  return y;
}

TEST(RecordReading, TheStaggerFollowsTheParityOfTheHead) {
  GoldenCase golden = record_case("qk_prepare", "record_case03");
  ASSERT_TRUE(check_golden(golden).holds());
  const auto cosine = to_tensor(golden.inputs.at("cosine"));
  const auto sine = to_tensor(golden.inputs.at("sine"));
  const auto normed = reference::qk_norm(to_tensor(golden.inputs.at("k")));
  golden.values.at("outputs/k_prepared") =
      by_pair(reference::rotary_apply(by_pair(normed, true), cosine, sine, true), false);
  const GoldenVerdict verdict = check_golden(golden);
  // By row-in-pair only heads 1 and 4 trade positions: 16 tokens, 2 heads, 8 rotating channels.
  ASSERT_EQ(verdict.complaints.size(), 1u);
  EXPECT_NE(verdict.complaints[0].find("k_prepared: 256 of 1536 values disagree"),
            std::string::npos)
      << verdict.complaints[0];
}

// The record's folder beside this repository; absent in other clones.
std::filesystem::path record_file(const char* name) {
  const char* shared = std::getenv("PAIREDHEAD_SHARED");
  return (shared ? std::filesystem::path(shared)
                 : std::filesystem::path(PAIREDHEAD_SOURCE_DIR) / ".." / "shared") /
         "record" / name;
}

// With H = 6 the record kept of the QKV weights' gradient only its product with a probe r. For row
// n of the query and key weights that is alpha sum_t g[t, n] <a_t, r>, with g the gradient that
// comes out of qk_prepare's backward (SPEC §2.3, §5).
TEST(RecordReading, GradientsReachTheWeightsOfSixHeads) {
  const auto file = record_file("attention_paired.h5");
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no record at " << file;
  const hdf5::Reader reader(file);
  double worst = 0;
  for (const std::string name : {"case03", "case05"}) {
    const auto tensor = [&](const std::string& path) { return reader.tensor(name + "/" + path); };
    const auto a = tensor("in/x"), weight = tensor("in/qkvo_w"), probe = tensor("in/probe_r");
    const double alpha = tensor("in/sa_lambdas")[0];
    const Index tokens = a.dim(0), width = a.dim(1), heads = 6;
    const auto raw = [&](Index part) {
      Tensor<double> projected({tokens, heads, width / heads});
      for (Index t = 0; t < tokens; ++t) {
        for (Index n = 0; n < width; ++n) {
          for (Index c = 0; c < width; ++c) {
            projected[t * width + n] += alpha * a(t, c) * weight(part * width + n, c);
          }
        }
      }
      return projected;
    };
    const auto incoming = [&](const char* path) {
      const auto flat = tensor(path);
      Tensor<double> grad({tokens, heads, width / heads});
      std::copy(flat.values().begin(), flat.values().end(), grad.values().begin());
      return grad;
    };
    const auto grad = reference::qk_prepare_backward<double>(
        {raw(0), raw(1)}, {incoming("eps_f32/g_fa_q"), incoming("eps_f32/g_fa_k")},
        tensor("in/factor1"), tensor("in/factor2"), {.paired = true});
    const auto expected = tensor("eps_f32/g_qkvo_w_dot_r");
    for (Index row = 0; row < 2 * width; ++row) {
      const Tensor<double>& g = row < width ? grad.query : grad.key;
      double sum = 0, terms = 0;
      for (Index t = 0; t < tokens; ++t) {
        double along = 0;
        for (Index c = 0; c < width; ++c) along += a(t, c) * probe[c];
        sum += alpha * g[t * width + row % width] * along;
        terms += std::abs(alpha * g[t * width + row % width] * along);
      }
      EXPECT_LE(std::abs(sum - expected[row]), 1e-12 * terms) << name << " row " << row;
      worst = std::max(worst, std::abs(sum - expected[row]) / terms);
    }
  }
  std::printf("weight gradients: largest error %.3g of the sum of |terms|\n", worst);
}

// All sampled positions of the record's tables, up to 131071 (paired: twice that), which are too
// many rows to commit: each by a table of one position further than zero, whose frequency is the
// angle.
class RecordTables : public ::testing::TestWithParam<int> {};

TEST_P(RecordTables, EverySampledPositionIsTheSame) {
  const auto file = record_file("rotary.h5");
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no record at " << file;
  const hdf5::Reader reader(file);
  const Tensor<double> rows = reader.tensor("row_index");
  Index compared = 0;
  for (const bool paired : {false, true}) {
    const std::string group =
        std::string("rec/") + (paired ? "paired" : "yarn") + "/stage" + std::to_string(GetParam());
    const Tensor<double> frequency = reader.tensor(group + "/angular_freq");
    const Tensor<double> cosine = reader.tensor(group + "/factor1_bits");
    const Tensor<double> sine = reader.tensor(group + "/factor2_bits");
    for (Index i = 0; i < rows.size(); ++i) {
      for (Index half = 0; half < (paired ? 2 : 1); ++half) {
        const auto position =
            static_cast<float>(paired ? 2 * rows[i] + static_cast<double>(half) : rows[i]);
        std::vector<float> angles(128);
        for (Index d = 0; d < 128; ++d) {
          angles[static_cast<std::size_t>(d)] = position * static_cast<float>(frequency[d]);
        }
        const auto table = reference::rotary_table(angles, 2, false);
        for (Index d = 0; d < 128; ++d) {
          ASSERT_EQ(to_bf16_bits(table.cosine(1, d)), cosine(i, half * 128 + d))
              << group << " position " << position << " channel " << d;
          ASSERT_EQ(to_bf16_bits(table.sine(1, d)), sine(i, half * 128 + d))
              << group << " position " << position << " channel " << d;
          compared += 2;
        }
      }
    }
  }
  EXPECT_EQ(compared, rows.size() * 128 * 3 * 2);
}

INSTANTIATE_TEST_SUITE_P(Stages, RecordTables, ::testing::Range(0, 5));

}  // namespace
}  // namespace pairedhead
