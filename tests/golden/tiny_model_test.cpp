#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "golden/hdf5_file.h"
#include "reference/model.h"
#include "reference/random.h"

// The whole tiny configuration, eleven layers and six heads, against PyTorch's autograd:
// tools/oracle/tiny_model.py says what tests/golden/tiny_model.h5 holds. Agreement to 1e-12 of a
// gradient's largest value, or of a product's sum of |terms|.

namespace pairedhead::reference {
namespace {

constexpr Index tokens = 64;
constexpr double tolerance = 1e-12;

ParameterSet<double> drawn_parameters(const std::vector<ParameterInfo>& table) {
  ParameterSet<double> set;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const ParameterInfo& info = table[i];
    Random random(1000 + i);
    const double size = info.optimizer == Optimizer::normuon ? 0.125 : 0.5;
    Tensor<double> tensor(info.shape);
    for (double& x : tensor.values()) {
      const double u = random.uniform01();
      x = info.dtype == DType::fp32 ? 0.25 + u : size * (2 * u - 1);
    }
    set.emplace(info.name, std::move(tensor));
  }
  return set;
}

Batch drawn_batch(Index vocabulary) {
  Random random(999);
  std::vector<Index> stream;
  for (Index t = 0; t <= tokens; ++t) stream.push_back(random.integer(0, vocabulary - 1));
  return {.inputs = {stream.begin(), stream.end() - 1},
          .targets = {stream.begin() + 1, stream.end()},
          .cu_seqlens = {0, 20, 20, tokens}};
}

double largest(const Tensor<double>& x) {
  double most = 0;
  for (const double value : x.values()) most = std::max(most, std::abs(value));
  return most;
}

void expect_whole(const hdf5::Reader& file, const std::string& at, const Tensor<double>& grad) {
  const Tensor<double> stored = file.tensor(at + "/whole");
  ASSERT_EQ(stored.size(), grad.size()) << at;
  for (Index i = 0; i < grad.size(); ++i) {
    EXPECT_LE(std::abs(grad[i] - stored[i]), tolerance * largest(stored)) << at << " " << i;
  }
}

void expect_digest(const hdf5::Reader& file, const std::string& at, std::uint64_t index,
                   const Tensor<double>& grad) {
  double square = 0;
  for (const double g : grad.values()) square += g * g;
  const double norm = file.tensor(at + "/norm")[0];
  EXPECT_LE(std::abs(std::sqrt(square) - norm), tolerance * norm) << at;

  const Tensor<double> products = file.tensor(at + "/products");
  ASSERT_EQ(products.size(), 2) << at;
  for (Index k = 0; k < 2; ++k) {
    Random probe(5000 + 2 * index + static_cast<std::uint64_t>(k));
    double product = 0, terms = 0;
    for (const double g : grad.values()) {
      const double term = g * (2 * probe.uniform01() - 1);
      product += term;
      terms += std::abs(term);
    }
    EXPECT_LE(std::abs(product - products[k]), tolerance * terms) << at;
  }

  const Tensor<double> samples = file.tensor(at + "/samples");
  ASSERT_EQ(samples.size(), 256) << at;
  Random random(9000 + index);
  for (Index k = 0; k < samples.size(); ++k) {
    const Index i = random.integer(0, grad.size() - 1);
    EXPECT_LE(std::abs(grad[i] - samples[k]), tolerance * largest(grad)) << at << " " << i;
  }
}

void expect_agreement(const std::string& group, const std::vector<double>& mtp_weights,
                      bool split_embedding) {
  const hdf5::Reader file(std::filesystem::path(PAIREDHEAD_SOURCE_DIR) /
                          "tests/golden/tiny_model.h5");
  const Config config = config_named("tiny");
  const std::vector<ParameterInfo> table = parameter_table(config);
  const ParameterSet<double> parameters = drawn_parameters(table);
  const Batch batch = drawn_batch(config.vocabulary);
  ModelSettings settings;
  settings.short_window = 4;
  settings.long_window = 12;
  settings.rotary = yarn_update(rotary_start(config.head_dim), 3, 7, 4);
  settings.split_embedding = split_embedding;
  settings.loss.mtp_weights = mtp_weights;
  const auto forward = model_forward(config, parameters, batch, settings, Rounding::exact());
  const double loss = file.tensor(group + "/loss")[0];
  EXPECT_LE(std::abs(forward.loss - loss), tolerance * loss);
  const auto gradients =
      model_backward(config, parameters, batch, settings, forward, 1.0, Rounding::exact());
  for (std::size_t i = 0; i < table.size(); ++i) {
    const std::string at = group + "/" + table[i].name;
    const auto found = gradients.find(table[i].name);
    ASSERT_EQ(found != gradients.end(), file.exists(at)) << at;
    if (found == gradients.end()) continue;
    if (file.exists(at + "/whole")) {
      expect_whole(file, at, found->second);
    } else {
      expect_digest(file, at, i, found->second);
    }
  }
}

TEST(TinyModel, TiedAgreesWithAutograd) { expect_agreement("tied", {1, 0.5, 0.25}, false); }

TEST(TinyModel, SplitAgreesWithAutograd) { expect_agreement("split", {1, 0.5}, true); }

}  // namespace
}  // namespace pairedhead::reference
