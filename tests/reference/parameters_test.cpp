#include "reference/parameters.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "reference/random.h"

namespace pairedhead::reference {
namespace {

const ParameterInfo& info_of(const std::vector<ParameterInfo>& table, const std::string& name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const ParameterInfo& info) { return info.name == name; });
  EXPECT_NE(found, table.end()) << name;
  return *found;
}

TEST(Parameters, TableOfSpec) {  // SPEC §2
  const auto table = parameter_table(config_named("record"), 8);
  struct Row {
    const char* name;
    Shape shape;
    DType dtype;
    const char* label;
    Optimizer optimizer;
    double lr_mul, wd_mul;
  };
  const Row rows[] = {
      {"qkvo.10", {3072, 768}, DType::bf16, "attn", Optimizer::normuon, 1, 1},
      {"c_fc.6", {3072, 768}, DType::bf16, "mlp", Optimizer::normuon, 1, 1},
      {"c_proj.6", {3072, 768}, DType::bf16, "mlp", Optimizer::normuon, 2, 1},
      {"lm_head", {50304, 768}, DType::bf16, "lm_head", Optimizer::adam, 1, 150},
      {"embed", {50304, 768}, DType::bf16, "embed", Optimizer::adam, 1, 150},
      {"value_embed.2", {50304, 768}, DType::bf16, "value_embed", Optimizer::adam, 75, 5},
      {"smear_gate", {1, 12}, DType::bf16, "smear_gate", Optimizer::adam, 0.01, 0},
      {"skip_gate", {1, 12}, DType::bf16, "skip_gate", Optimizer::adam, 0.05, 0},
      {"attn_gate_bank", {10, 6, 12}, DType::bf16, "attn_gate_bank", Optimizer::adam, 1, 1},
      {"ve_gate_bank", {5, 6, 12}, DType::bf16, "ve_gate_bank", Optimizer::adam, 1, 1},
      {"x0_lambdas", {11}, DType::fp32, "x0_lambdas", Optimizer::adam, 5, 0},
      {"scalars", {40}, DType::fp32, "scalars", Optimizer::adam, 5, 0}};
  for (const Row& row : rows) {
    const ParameterInfo& info = info_of(table, row.name);
    EXPECT_EQ(info.shape, row.shape) << row.name;
    EXPECT_EQ(info.dtype, row.dtype) << row.name;
    EXPECT_EQ(info.label, row.label) << row.name;
    EXPECT_EQ(info.optimizer, row.optimizer) << row.name;
    EXPECT_EQ(info.lr_mul, row.lr_mul) << row.name;
    EXPECT_EQ(info.wd_mul, row.wd_mul) << row.name;
  }
  EXPECT_EQ(table.size(), 10u + 11 + 11 + 2 + 3 + 6);
  std::set<std::string> names;
  for (const ParameterInfo& info : table) names.insert(info.name);
  EXPECT_EQ(names.size(), table.size());
  EXPECT_FALSE(names.contains("qkvo.6"));
  EXPECT_EQ(std::count_if(table.begin(), table.end(),
                          [](const auto& info) { return info.optimizer == Optimizer::normuon; }),
            32);
}

TEST(Parameters, ScalarsArePaddedToTheRanks) {  // SPEC §2.1
  for (const auto& [ranks, length] :
       {std::pair<Index, Index>{1, 36}, {2, 36}, {4, 36}, {8, 40}, {5, 40}}) {
    const auto table = parameter_table(config_named("tiny"), ranks);
    EXPECT_EQ(info_of(table, "scalars").shape, Shape{length}) << ranks;
  }
  EXPECT_THROW(parameter_table(config_named("tiny"), 0), InputError);
}

TEST(Parameters, ScalarsOfSpec) {  // SPEC §2.1
  const auto set = initial_parameters(config_named("tiny"), 1, 8);
  const Tensor<double>& scalars = set.at("scalars");
  for (Index i = 0; i < 11; ++i) {
    EXPECT_EQ(scalars[i], static_cast<double>(1.1f));
    EXPECT_EQ(scalars[11 + 2 * i], 0.5);
    EXPECT_EQ(scalars[12 + 2 * i], 1);
  }
  EXPECT_EQ(scalars[33], 0);
  EXPECT_EQ(scalars[34], 0.5);
  EXPECT_EQ(scalars[35], -1.5);
  for (Index i = 36; i < 40; ++i) EXPECT_EQ(scalars[i], 1);
  const ScalarLayout at{11};
  EXPECT_EQ(at.residual(3), 3);
  EXPECT_EQ(at.attention_in(6), 23);
  EXPECT_EQ(at.attention_out(6), 24);
  EXPECT_EQ(at.smear(), 33);
  EXPECT_EQ(at.backout(), 34);
  EXPECT_EQ(at.skip(), 35);
}

struct Moments {
  double mean = 0, deviation = 0, least = 0, most = 0;
};

Moments moments(const double* values, Index count) {
  Moments m;
  double squares = 0;
  for (Index i = 0; i < count; ++i) {
    m.mean += values[i] / static_cast<double>(count);
    squares += values[i] * values[i] / static_cast<double>(count);
    m.least = std::min(m.least, values[i]);
    m.most = std::max(m.most, values[i]);
  }
  m.deviation = std::sqrt(squares - m.mean * m.mean);
  return m;
}

// Six standard errors each way: a right initialiser fails one seed in 5e8, and the seed is fixed.
void expect_uniform(const double* values, Index count, double bound) {
  const Moments m = moments(values, count);
  const auto n = static_cast<double>(count);
  const double deviation = bound / std::sqrt(3.0);
  EXPECT_LE(std::abs(m.mean), 6 * deviation / std::sqrt(n));
  // The variance of x^2 is 4/45 bound^4, so that of the deviation bound^2 / (15 n).
  EXPECT_LE(std::abs(m.deviation - deviation), 6 * bound / std::sqrt(15 * n));
  EXPECT_GE(m.least, -bound);
  EXPECT_LT(m.most, bound);
  EXPECT_LT(m.least, -0.99 * bound);
  EXPECT_GT(m.most, 0.98 * bound);
}

TEST(Parameters, InitialValuesOfSpec) {  // SPEC §2, §15
  const Config config = config_named("tiny");
  const auto table = parameter_table(config);
  const auto set = initial_parameters(config, 7);
  check_parameters("initial values", set, table);
  const Index c = config.width;
  const double bound = std::sqrt(3.0 / 96);
  for (const ParameterInfo& info : table) {
    const Tensor<double>& tensor = set.at(info.name);
    for (const double x : tensor.values()) ASSERT_EQ(x, round_to(info.dtype, x)) << info.name;
    const bool zero = std::all_of(tensor.values().begin(), tensor.values().end(),
                                  [](double x) { return x == 0; });
    const bool drawn = info.name.starts_with("qkvo.") || info.name.starts_with("c_fc.") ||
                       info.name == "lm_head" || info.name == "scalars";
    EXPECT_EQ(zero, !drawn) << info.name;
  }
  for (const char* name : {"qkvo.0", "qkvo.10"}) {
    const Tensor<double>& bank = set.at(name);
    expect_uniform(bank.data(), 3 * c * c, bound);
    for (Index i = 3 * c * c; i < bank.size(); ++i) ASSERT_EQ(bank[i], 0) << name;
  }
  expect_uniform(set.at("c_fc.4").data(), 384 * 96, bound / 2);
  const Tensor<double>& head = set.at("lm_head");
  const auto n = static_cast<double>(head.size());
  const Moments m = moments(head.data(), head.size());
  EXPECT_LE(std::abs(m.mean), 6 * 0.005 / std::sqrt(n));
  EXPECT_LE(std::abs(m.deviation - 0.005), 6 * 0.005 / std::sqrt(2 * n));
}

TEST(Parameters, ASeedNamesTheValues) {
  const Config config = config_named("tiny");
  const auto values = [](const Tensor<double>& t) {
    return std::vector<double>(t.values().begin(), t.values().end());
  };
  const auto one = initial_parameters(config, 1), again = initial_parameters(config, 1),
             two = initial_parameters(config, 2);
  EXPECT_EQ(values(one.at("qkvo.3")), values(again.at("qkvo.3")));
  EXPECT_NE(values(one.at("qkvo.3")), values(two.at("qkvo.3")));
  EXPECT_NE(values(one.at("qkvo.3")), values(one.at("qkvo.4")));
}

// However many threads share the work; lm_head is long enough to be drawn in three pieces.
TEST(Parameters, ThreadsDoNotChangeTheValues) {
  Config config = config_named("tiny");
  config.vocabulary = 2048;
  const auto table = parameter_table(config);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto alone = initial_parameters(config, 9);
  omp_set_num_threads(3);
  const auto together = initial_parameters(config, 9);
  omp_set_num_threads(threads);
  for (const ParameterInfo& info : table) {
    const Tensor<double>&a = alone.at(info.name), &b = together.at(info.name);
    ASSERT_TRUE(std::ranges::equal(a.values(), b.values())) << info.name;
  }
  const auto head =
      std::ranges::find(table, std::string("lm_head"), &ParameterInfo::name) - table.begin();
  Random random = Random(9).split(static_cast<std::uint64_t>(head) + 1);
  for (const double x : together.at("lm_head").values()) {
    ASSERT_EQ(x, round_to(DType::bf16, round_to(DType::fp32, 0.005 * random.normal())));
  }
}

TEST(Parameters, NamesAMissingOrMisshapenTensor) {
  const auto table = parameter_table(config_named("tiny"));
  const auto sentence = [&](const ParameterSet<double>& set) -> std::string {
    try {
      check_parameters("weights", set, table);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  };
  auto set = zero_parameters<double>(table);
  EXPECT_EQ(sentence(set), "accepted");
  set["embed"] = Tensor<double>({96, 512});
  EXPECT_EQ(sentence(set), "weights: embed: expected shape [512, 96], got [96, 512]");
  set.erase("embed");
  EXPECT_EQ(sentence(set), "weights: expected a parameter embed, got none");
  set = zero_parameters<double>(table);
  set["bias"] = Tensor<double>({1});
  EXPECT_EQ(sentence(set), "weights: expected 43 parameters, got 44");
}

}  // namespace
}  // namespace pairedhead::reference
