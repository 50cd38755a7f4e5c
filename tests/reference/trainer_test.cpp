#include "reference/trainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/model.h"
#include "reference/schedule.h"

namespace pairedhead::reference {
namespace {

TrainerSettings micro(Index ranks = 1) {
  TrainerSettings settings;
  settings.config = micro_config();
  settings.ranks = ranks;
  settings.validation_every = 4;
  settings.validation_sequences = 4;
  settings.validation_length = 64;
  return settings;
}

struct Trained {
  TrainerState state;
  std::vector<double> losses;
};

Trained trained(const TrainerSettings& settings, Index steps, std::uint64_t seed = 1) {
  TrainingData data = TrainingData::synthetic(settings.config, seed);
  Trained run{start_training(settings, initial_parameters(settings.config, seed, settings.ranks)),
              {}};
  for (Index step = 0; step < steps; ++step) {
    run.losses.push_back(train_step(run.state, data, settings).objective);
  }
  return run;
}

double norm(const Tensor<double>& tensor) {
  double sum = 0;
  for (const double x : tensor.values()) sum += x * x;
  return std::sqrt(sum);
}

TEST(Trainer, TheFirstLossIsThatOfAUniformGuess) {
  const TrainerSettings settings = micro();
  TrainingData data = TrainingData::synthetic(settings.config, 1);
  TrainerState state = start_training(settings, initial_parameters(settings.config, 1));
  const StepLosses first = train_step(state, data, settings);
  EXPECT_NEAR(first.next_token, std::log(64), 0.02);
  // Weights 1, 1/2, 1/4; the second and third lose one and two positions of 16.
  EXPECT_NEAR(first.objective, std::log(64) * (1 + 0.5 * 15 / 16 + 0.25 * 14 / 16), 0.05);
  ASSERT_TRUE(first.floor);
  EXPECT_LT(*first.floor, first.next_token);
}

TEST(Trainer, AdamMovesAtOddStepsAndNormuonAtAll) {
  const TrainerSettings settings = micro();
  TrainingData data = TrainingData::synthetic(settings.config, 1);
  TrainerState state = start_training(settings, initial_parameters(settings.config, 1));
  for (Index step = 0; step < 4; ++step) {
    const auto before = state.parameters;
    train_step(state, data, settings);
    const auto moved = [&](const char* name) {
      const auto now = state.parameters.at(name).values();
      return !std::equal(now.begin(), now.end(), before.at(name).values().begin());
    };
    EXPECT_EQ(moved("lm_head"), step % 2 == 1) << step;
    EXPECT_EQ(moved("scalars"), step % 2 == 1) << step;
    EXPECT_TRUE(moved("c_proj.3")) << step;
    EXPECT_FALSE(moved("embed")) << step;
    EXPECT_EQ(state.pending[0].empty(), step % 2 == 1) << step;
    EXPECT_EQ(state.adam.contains("embed"), false);
  }
  EXPECT_EQ(state.adam.at("lm_head").updates, 2);
}

// Adam's gradient is the sum of both steps' means over eight micro-batches, taken apart by hand.
TEST(Trainer, AnAdamUpdateIsThatOfBothStepsGradients) {
  const TrainerSettings settings = micro();
  const Config& config = settings.config;
  TrainingData data = TrainingData::synthetic(config, 3);
  TrainerState state = start_training(settings, initial_parameters(config, 3));
  Tensor<double> head = state.parameters.at("lm_head"), sum(head.shape());
  TrainingData copy = TrainingData::synthetic(config, 3);
  for (Index step = 0; step < 2; ++step) {
    ModelSettings model;
    const Windows windows = window_schedule(step, config.schedule);
    model.short_window = windows.short_tokens;
    model.long_window = windows.long_tokens;
    model.rotary = rotary_start(config.head_dim);
    model.loss.mtp_weights = mtp_weights(step, config.schedule);
    for (int batch = 0; batch < 8; ++batch) {
      const PackedSequence packed = copy.next(1, 16)[0].packed;
      const Batch tokens{{packed.inputs.begin(), packed.inputs.end()},
                         {packed.targets.begin(), packed.targets.end()},
                         packed.cu_seqlens};
      const auto gradients =
          model_backward(config, state.parameters, tokens, model,
                         model_forward(config, state.parameters, tokens, model, Rounding::exact()),
                         1.0 / 8, Rounding::exact());
      for (Index i = 0; i < sum.size(); ++i) sum[i] += gradients.at("lm_head")[i];
    }
    train_step(state, data, settings);
  }
  AdamMoments moments = adam_start(head.shape());
  adam_update(head, moments, sum, {adam_betas("lm_head"), 1, 150, DType::bf16},
              learning_rate(1, config.schedule), Storage::exact);
  for (Index i = 0; i < head.size(); ++i) {
    ASSERT_NEAR(head[i], state.parameters.at("lm_head")[i], 1e-12) << i;
  }
}

TEST(Trainer, EmbedSplitsOffAfterTheUpdateOfItsStep) {  // SPEC §7.5
  const TrainerSettings settings = micro();
  const Index at = split_step(settings.config.schedule);
  ASSERT_EQ(at, 5);
  TrainingData data = TrainingData::synthetic(settings.config, 1);
  TrainerState state = start_training(settings, initial_parameters(settings.config, 1));
  while (state.step <= at) {
    EXPECT_FALSE(state.split);
    train_step(state, data, settings);
  }
  EXPECT_TRUE(state.split);
  const auto same = [&](const Tensor<double>& a, const Tensor<double>& b) {
    return std::equal(a.values().begin(), a.values().end(), b.values().begin());
  };
  EXPECT_TRUE(same(state.parameters.at("embed"), state.parameters.at("lm_head")));
  EXPECT_EQ(state.adam.at("embed").updates, 3);  // (5 + 1) / 2
  EXPECT_TRUE(same(state.adam.at("embed").first, state.adam.at("lm_head").first));
  train_step(state, data, settings);
  train_step(state, data, settings);
  EXPECT_EQ(state.adam.at("embed").updates, 4);
  EXPECT_FALSE(same(state.parameters.at("embed"), state.parameters.at("lm_head")));
}

TEST(Trainer, WindowsTurnTheRotaryOnceButNotForTheFinalValidation) {  // SPEC §7.4
  const TrainerSettings settings = micro();
  const ScheduleSettings& schedule = settings.config.schedule;
  TrainingData data = TrainingData::synthetic(settings.config, 1);
  TrainerState state = start_training(settings, initial_parameters(settings.config, 1));
  RotaryState expected = rotary_start(8);
  for (Index step = 0; step < 8; ++step) {
    for (const WindowTransition& change : window_transitions(schedule)) {
      if (change.step != step) continue;
      expected = yarn_update(expected, change.old_blocks, change.new_blocks, 4);
    }
    validate(state, data, settings);  // must not turn it a second time
    train_step(state, data, settings);
    EXPECT_EQ(state.rotary.frequency, expected.frequency) << step;
    EXPECT_EQ(state.rotary.softmax_scale, expected.softmax_scale) << step;
  }
  validate(state, data, settings);
  EXPECT_EQ(state.rotary.softmax_scale, expected.softmax_scale);
  EXPECT_NEAR(expected.softmax_scale, 0.131777988, 1e-9);  // SPEC §3.5: blocks as the record's
}

// The same data, whoever computes it: SPEC §9 is the identity but for rounding.
TEST(Trainer, AnyNumberOfRanksTakesTheSameSteps) {
  const Trained one = trained(micro(1), 8);
  for (const Index ranks : {2, 4, 8}) {
    const Trained several = trained(micro(ranks), 8);
    for (std::size_t step = 0; step < 8; ++step) {
      EXPECT_NEAR(several.losses[step], one.losses[step], 1e-13 * one.losses[step])
          << ranks << " ranks, step " << step;
    }
    for (const auto& [name, expected] : one.state.parameters) {
      const Tensor<double>& got = several.state.parameters.at(name);
      double difference = 0;
      for (Index i = 0; i < expected.size(); ++i) {
        difference = std::max(difference, std::abs(got[i] - expected[i]));
      }
      EXPECT_LE(difference, 1e-13 * std::max(1.0, norm(expected))) << ranks << " ranks, " << name;
    }
  }
}

TEST(Trainer, RoundedRunsStayNearTheExactOne) {
  const Trained exact = trained(micro(), 8);
  TrainerSettings settings = micro();
  settings.storage = Storage::as_defined;
  settings.rounding = Rounding::stochastic(7);
  const Trained rounded = trained(settings, 8), again = trained(settings, 8);
  EXPECT_EQ(rounded.losses, again.losses);
  for (std::size_t step = 0; step < 8; ++step) {
    EXPECT_NE(rounded.losses[step], exact.losses[step]);
    EXPECT_NEAR(rounded.losses[step], exact.losses[step], 0.05) << step;
  }
  // bf16 values only.
  for (const double x : rounded.state.parameters.at("c_fc.0").values()) {
    ASSERT_EQ(x, round_to(DType::bf16, x));
  }
}

TEST(Trainer, ALossThatIsNoNumberIsNamedAndChangesNothing) {
  const TrainerSettings settings = micro();
  TrainingData data = TrainingData::synthetic(settings.config, 1);
  TrainerState state = start_training(settings, initial_parameters(settings.config, 1));
  train_step(state, data, settings);
  state.parameters.at("lm_head")[5] = std::nan("");
  const auto before = state.parameters.at("c_proj.0");
  try {
    train_step(state, data, settings);
    FAIL() << "no exception";
  } catch (const NonFiniteLoss& error) {
    EXPECT_EQ(error.step, 1);
    EXPECT_GE(error.batch, 0);
    EXPECT_LT(error.batch, 8);
    EXPECT_EQ(std::string(error.what()), "step 1, batch " + std::to_string(error.batch) +
                                             ": expected a finite loss, got none");
  }
  EXPECT_EQ(state.step, 1);
  EXPECT_TRUE(std::equal(before.values().begin(), before.values().end(),
                         state.parameters.at("c_proj.0").values().begin()));
}

TEST(Trainer, ValidationKnowsTheFloor) {
  const TrainerSettings settings = micro();
  const TrainingData data = TrainingData::synthetic(settings.config, 1);
  TrainerState state = start_training(settings, initial_parameters(settings.config, 1));
  const Validation validation = validate(state, data, settings);
  EXPECT_NEAR(validation.loss, std::log(64), 0.02);
  ASSERT_TRUE(validation.floor);
  EXPECT_GT(validation.standard_error, 0);
  EXPECT_FALSE(validation.sees_the_future());
  EXPECT_FALSE((Validation{1.0, 1.03, 0.01}).sees_the_future());
  EXPECT_TRUE((Validation{1.0, 1.05, 0.01}).sees_the_future());
  EXPECT_FALSE((Validation{0.0, std::nullopt, 0}).sees_the_future());
  EXPECT_TRUE(validates_at(0, settings));
  EXPECT_FALSE(validates_at(3, settings));
  EXPECT_TRUE(validates_at(8, settings));
}

TEST(Trainer, RefusesWhatCannotBeTrained) {
  EXPECT_THROW(check_trainer(micro(3)), InputError);
  EXPECT_THROW(check_trainer(micro(0)), InputError);
  TrainerSettings odd_length = micro();
  odd_length.config.schedule.sequence[1] = 30;
  EXPECT_THROW(check_trainer(odd_length), InputError);
  TrainerSettings uneven = micro(8);
  uneven.config.vocabulary = 130;  // 130 rows do not divide by 8
  EXPECT_THROW(check_trainer(uneven), InputError);
  auto parameters = initial_parameters(micro_config(), 1);
  parameters.erase("scalars");
  EXPECT_THROW(start_training(micro(), parameters), InputError);
  Trained run = trained(micro(), 8);
  TrainingData data = TrainingData::synthetic(micro_config(), 1);
  EXPECT_THROW(train_step(run.state, data, micro()), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
