#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "golden/hdf5_file.h"
#include "reference/optim/optimizer.h"
#include "reference/random.h"
#include "reference/schedule.h"

// Ten steps of both optimizers from random parameters and states against PyTorch in float64:
// tools/oracle/optimizer_steps.py says what tests/golden/optimizer_steps.h5 holds. There polar
// express works on singular values, here on the matrix itself. Agreement to 1e-12 of a tensor's
// largest value at every step: in double the iterations do not lose what they lose in bf16.

namespace pairedhead::reference {
namespace {

constexpr double tolerance = 1e-12;
constexpr Index steps = 10;

ScheduleSettings schedule() {
  ScheduleSettings settings;
  settings.scheduled = 9;
  settings.extension = 1;
  settings.momentum_warm_up = 3;
  settings.momentum_cool_down = 2;
  return settings;
}

// What `what` is: optimizer_steps.py.
Tensor<double> drawn(std::uint64_t parameter, Index what, const Shape& shape) {
  Random random(100 * parameter + static_cast<std::uint64_t>(what));
  Tensor<double> tensor(shape);
  for (double& x : tensor.values()) x = random.uniform01();
  return tensor;
}
Tensor<double> drawn_with_sign(std::uint64_t parameter, Index what, const Shape& shape) {
  Tensor<double> tensor = drawn(parameter, what, shape);
  for (double& x : tensor.values()) x = 2 * x - 1;
  return tensor;
}

class OptimizerSteps : public ::testing::Test {
 protected:
  // The largest error of `ours` in units of the largest value of a dataset, or of one step's rows.
  void expect_near(const Tensor<double>& ours, const std::string& path, Index step = 0) {
    const Tensor<double> oracle = file_.tensor(path);
    ASSERT_EQ(oracle.size() % ours.size(), 0) << path;
    ASSERT_LE((step + 1) * ours.size(), oracle.size()) << path;
    double largest = 0, error = 0;
    for (Index i = 0; i < ours.size(); ++i) {
      const double theirs = oracle[step * ours.size() + i];
      largest = std::max(largest, std::abs(theirs));
      error = std::max(error, std::abs(ours[i] - theirs));
    }
    EXPECT_LE(error, tolerance * largest) << path << ", step " << step;
    worst_ = std::max(worst_, error / largest);
  }
  void TearDown() override { std::printf("largest error %.2g of a tensor's largest\n", worst_); }

 private:
  hdf5::Reader file_{std::filesystem::path(PAIREDHEAD_SOURCE_DIR) /
                     "tests/golden/optimizer_steps.h5"};
  double worst_ = 0;
};

TEST_F(OptimizerSteps, NormuonAgreesWithSingularValues) {
  struct Row {
    std::string name;
    Shape shape;
    NormuonSettings settings;
  };
  const std::vector<Row> rows = {{"qkvo", {16, 4}, {.matrices = 4}},
                                 {"c_fc", {12, 4}, {}},
                                 {"c_proj", {12, 4}, {.learning_rate_multiplier = 2}}};
  for (std::size_t number = 0; number < rows.size(); ++number) {
    const auto& [name, shape, settings] = rows[number];
    Tensor<double> parameter = drawn_with_sign(number, 0, shape);
    NormuonState state = normuon_start(shape);
    state.moment = drawn_with_sign(number, 1, shape);
    state.second_moment = drawn(number, 2, {shape[0]});
    for (double& mean : state.second_moment.values()) mean += 0.1;
    for (Index step = 0; step < steps; ++step) {
      normuon_update(parameter, state, drawn_with_sign(number, 10 + step, shape), settings,
                     learning_rate(step, schedule()), momentum(step, schedule()), Storage::exact,
                     Rounding::exact());
      expect_near(parameter, name + "/parameter", step);
    }
    expect_near(state.moment, name + "/moment");
    expect_near(state.second_moment, name + "/second_moment");
  }
}

TEST_F(OptimizerSteps, AdamAgreesAtOddSteps) {
  struct Row {
    std::string label;
    double learning_rate_multiplier, weight_decay_multiplier;
  };
  const std::vector<Row> rows = {
      {"lm_head", 1, 150},     {"embed", 1, 150},      {"value_embed", 75, 5},
      {"smear_gate", 0.01, 0}, {"skip_gate", 0.05, 0}, {"attn_gate_bank", 1, 1},
      {"ve_gate_bank", 1, 1},  {"x0_lambdas", 5, 0},   {"scalars", 5, 0}};
  const Shape shape = {12};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto& [label, learning_rate_multiplier, weight_decay_multiplier] = rows[row];
    const std::uint64_t number = row + 3;  // after NorMuon's
    const AdamParameter settings = {.betas = adam_betas(label),
                                    .learning_rate_multiplier = learning_rate_multiplier,
                                    .weight_decay_multiplier = weight_decay_multiplier};
    Tensor<double> parameter = drawn_with_sign(number, 0, shape), pending(shape);
    AdamMoments moments = {drawn_with_sign(number, 1, shape), drawn(number, 2, shape), 7};
    for (double& mean : moments.first.values()) mean /= 4;
    for (Index step = 0; step < steps; ++step) {
      const Tensor<double> gradient = drawn_with_sign(number, 10 + step, shape);
      for (Index i = 0; i < pending.size(); ++i) pending[i] += gradient[i];
      if (step % 2 == 1) {
        adam_update(parameter, moments, pending, settings, learning_rate(step, schedule()),
                    Storage::exact);
        pending = Tensor<double>(shape);
      }
      expect_near(parameter, label + "/parameter", step);
    }
    expect_near(moments.first, label + "/moment");
    expect_near(moments.second, label + "/second_moment");
  }
}

}  // namespace
}  // namespace pairedhead::reference
