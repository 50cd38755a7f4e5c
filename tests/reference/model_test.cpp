#include "reference/model.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "reference/softcap.h"
#include "tests/reference/model_support.h"
#include "tests/refusal.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

struct Step {
  double loss;
  ParameterSet<double> gradients;
};

Step step_of(const Config& config, const ParameterSet<double>& parameters, const Batch& batch,
             const ModelSettings& settings, double grad_loss = 1) {
  const auto forward = model_forward(config, parameters, batch, settings, Rounding::exact());
  return {forward.loss, model_backward(config, parameters, batch, settings, forward, grad_loss,
                                       Rounding::exact())};
}

// Loss of each token at the first horizon.
std::vector<double> token_losses(const Config& config, const ParameterSet<double>& parameters,
                                 const Batch& batch, const ModelSettings& settings) {
  const auto forward = model_forward(config, parameters, batch, settings, Rounding::exact());
  std::vector<double> losses;
  for (std::size_t t = 0; t < batch.targets.size(); ++t) {
    const auto row = static_cast<Index>(t);
    losses.push_back(forward.logsumexp[row] - softcapped(forward.logits(row, batch.targets[t])));
  }
  return losses;
}

double largest(const Tensor<double>& x) {
  double most = 0;
  for (const double value : x.values()) most = std::max(most, std::abs(value));
  return most;
}

// <gradient, direction> against the loss's derivative along it: one parameter at a time, then all.
void certify(const Config& config, const ModelSettings& settings, std::uint64_t seed) {
  const auto parameters = random_parameters(config, seed);
  const Batch batch = random_batch(config, {0, 4, 4, 9}, seed + 1);
  const Step step = step_of(config, parameters, batch, settings, 0.125);
  std::vector<std::string> names = {"all"};
  for (const auto& [name, tensor] : step.gradients) names.push_back(name);
  Random random(seed + 2);
  for (const std::string& name : names) {
    ParameterSet<double> direction;
    InnerProduct backwards;
    for (const auto& [other, tensor] : parameters) {
      const bool moves = name == "all" || name == other;
      direction[other] =
          moves ? normal_tensor(tensor.shape(), random) : Tensor<double>(tensor.shape());
      if (moves && step.gradients.contains(other)) {
        backwards.add(step.gradients.at(other), direction.at(other));
      }
    }
    const Dual loss = model_forward(config, dual_parameters(parameters, direction), batch, settings,
                                    Rounding::exact())
                          .loss;
    const double forwards = 0.125 * loss.derivative;
    EXPECT_LE(std::abs(forwards - backwards.value),
              certified_limit * (std::abs(forwards) + backwards.absolute))
        << name << ", seed " << seed;
  }
}

TEST(Model, BackwardIsTheTransposedDerivative) {
  Config config = miniature();
  ModelSettings settings = settings_of(config);
  certify(config, settings, 1);
  settings.split_embedding = true;
  settings.loss = {.mtp_weights = {1, 0.3}, .validation = false};
  certify(config, settings, 2);
  settings.loss = {.mtp_weights = {1}, .validation = true};
  config.pairing = Pairing::adjacent;
  certify(config, settings, 3);
}

TEST(Model, GivesEveryParameterAGradientOfItsShape) {
  const Config config = miniature();
  const auto parameters = random_parameters(config, 4);
  const Batch batch = random_batch(config, {0, 5, 12}, 5);
  ModelSettings settings = settings_of(config);
  for (const bool split : {false, true}) {
    settings.split_embedding = split;
    const Step step = step_of(config, parameters, batch, settings);
    EXPECT_EQ(step.gradients.contains("embed"), split);
    for (const ParameterInfo& info : parameter_table(config)) {
      if (info.name == "embed" && !split) continue;
      ASSERT_TRUE(step.gradients.contains(info.name)) << info.name;
      EXPECT_EQ(step.gradients.at(info.name).shape(), info.shape) << info.name;
      EXPECT_GT(largest(step.gradients.at(info.name)), 0) << info.name;
    }
    EXPECT_EQ(step.gradients.size(), parameters.size() - (split ? 0 : 1));
  }
}

TEST(Model, LambdasOfTheLayerWithoutAttentionAndPaddingNeverMove) {  // SPEC §2.1
  const Config config = miniature();
  auto parameters = random_parameters(config, 6);
  const Tensor<double> unpadded = parameters.at("scalars");
  Tensor<double> padded({40}, 1.0);
  std::copy(unpadded.values().begin(), unpadded.values().end(), padded.values().begin());
  const Batch batch = random_batch(config, {0, 11}, 7);
  const ModelSettings settings = settings_of(config);
  const Step plain = step_of(config, parameters, batch, settings);
  parameters["scalars"] = padded;
  const Step step = step_of(config, parameters, batch, settings);
  EXPECT_EQ(step.loss, plain.loss);
  const Tensor<double>& grad = step.gradients.at("scalars");
  ASSERT_EQ(grad.shape(), Shape{40});
  for (Index i = 0; i < 40; ++i) {
    const bool still = i == 23 || i == 24 || i >= 36;
    EXPECT_EQ(grad[i] == 0, still) << i;
  }
}

TEST(Model, TiedGradientIsTheSumOfItsTwoUses) {
  const Config config = miniature();
  auto parameters = random_parameters(config, 8);
  parameters["embed"] = parameters.at("lm_head");
  const Batch batch = random_batch(config, {0, 7, 13}, 9);
  ModelSettings settings = settings_of(config);
  const Step tied = step_of(config, parameters, batch, settings);
  settings.split_embedding = true;
  const Step split = step_of(config, parameters, batch, settings);
  EXPECT_EQ(tied.loss, split.loss);
  const Tensor<double>&head = split.gradients.at("lm_head"), &embed = split.gradients.at("embed");
  for (Index i = 0; i < head.size(); ++i) {
    const double sum = head[i] + embed[i];
    EXPECT_LE(std::abs(tied.gradients.at("lm_head")[i] - sum),
              8 * 0x1p-53 * (std::abs(head[i]) + largest(embed)));
  }
}

TEST(Model, UntouchedEmbeddingRowsHaveNoGradient) {
  const Config config = miniature();
  const auto parameters = random_parameters(config, 10);
  const Batch batch = random_batch(config, {0, 6}, 11);
  ModelSettings settings = settings_of(config);
  settings.split_embedding = true;
  const Step step = step_of(config, parameters, batch, settings);
  for (const char* name : {"embed", "value_embed.0", "value_embed.1", "value_embed.2"}) {
    const Tensor<double>& grad = step.gradients.at(name);
    for (Index row = 0; row < grad.dim(0); ++row) {
      const bool read = std::count(batch.inputs.begin(), batch.inputs.end(), row) > 0;
      bool zero = true;
      for (Index c = 0; c < grad.dim(1); ++c) zero = zero && grad(row, c) == 0;
      EXPECT_EQ(zero, !read) << name << " row " << row;
    }
  }
}

// What a document is told of its neighbours: nothing of later ones but its last targets; of earlier
// ones what smear and the key shift carry (SPEC §3.1, §3.6.4), which reaches its first tokens.
TEST(Model, DocumentsMeetOnlyWhereSpecSays) {
  Config config = miniature();
  auto parameters = random_parameters(config, 12);
  const ModelSettings settings = settings_of(config);
  Batch batch = random_batch(config, {0, 5, 12, 16}, 13);
  const auto losses = token_losses(config, parameters, batch, settings);

  Batch later = batch;
  for (std::size_t t = 12; t < 16; ++t) later.inputs[t] = (later.inputs[t] + 7) % 30;
  const auto with_later = token_losses(config, parameters, later, settings);
  for (std::size_t t = 0; t < 12; ++t) EXPECT_EQ(with_later[t], losses[t]) << t;
  for (std::size_t t = 12; t < 16; ++t) EXPECT_NE(with_later[t], losses[t]) << t;

  // The last token of the first document reaches the second through smear and the key shift ...
  Batch earlier = batch;
  earlier.inputs[4] = (earlier.inputs[4] + 7) % 30;
  const auto with_earlier = token_losses(config, parameters, earlier, settings);
  EXPECT_NE(with_earlier[5], losses[5]);
  // ... and no other way: without the two it does not.
  parameters["scalars"][ScalarLayout{11}.smear()] = 0;
  for (LayerConfig& layer : config.layers) layer.shift_keys = false;
  const auto apart = token_losses(config, parameters, batch, settings);
  const auto apart_earlier = token_losses(config, parameters, earlier, settings);
  for (std::size_t t = 5; t < 16; ++t) EXPECT_EQ(apart_earlier[t], apart[t]) << t;
}

// SPEC §6.6: from the initial state the attention and MLP outputs are zero.
TEST(Model, FactsOfStepZero) {
  const Config config = config_named("tiny");
  auto parameters = initial_parameters(config, 16);
  const Batch batch = random_batch(config, {0, 9, 24}, 17);
  ModelSettings settings = settings_of(config);
  const Step step = step_of(config, parameters, batch, settings);
  const Index c = config.width;
  for (Index i = 0; i < config.depth(); ++i) {
    EXPECT_EQ(largest(step.gradients.at(c_fc_name(i))), 0) << i;
    EXPECT_GT(largest(step.gradients.at(c_proj_name(i))), 0) << i;
    if (i == 6) continue;
    const Tensor<double>& bank = step.gradients.at(qkvo_name(i));
    double in = 0, out = 0;
    for (Index k = 0; k < 3 * c * c; ++k) in = std::max(in, std::abs(bank[k]));
    for (Index k = 3 * c * c; k < 4 * c * c; ++k) out = std::max(out, std::abs(bank[k]));
    EXPECT_EQ(in, 0) << i;
    EXPECT_GT(out, 0) << i;
  }
  for (const char* name : {"value_embed.0", "value_embed.1", "value_embed.2", "attn_gate_bank",
                           "ve_gate_bank", "smear_gate"}) {
    EXPECT_EQ(largest(step.gradients.at(name)), 0) << name;
  }
  const ScalarLayout at{11};
  const Tensor<double>& scalars = step.gradients.at("scalars");
  for (Index i = 0; i < 11; ++i) {
    EXPECT_EQ(scalars[at.attention_in(i)], 0);
    EXPECT_EQ(scalars[at.attention_out(i)], 0);
  }
  EXPECT_GT(std::abs(scalars[at.smear()]), 0);
  EXPECT_GT(largest(step.gradients.at("lm_head")), 0);
}

// SPEC §3.9: about ln V a token at the start, times the weights of the horizons that fit.
TEST(Model, StartsNearTheLossOfAGuess) {
  const Config config = config_named("tiny");
  const auto parameters = initial_parameters(config, 18);
  const Index tokens = 64;
  const Batch batch = random_batch(config, {0, tokens}, 19);
  ModelSettings settings = settings_of(config);
  settings.loss.mtp_weights = {1, 0.5, 0.25};
  const double terms = 64 + 0.5 * 63 + 0.25 * 62;
  const double loss = model_forward(config, parameters, batch, settings, Rounding::exact()).loss;
  EXPECT_NEAR(loss / terms, std::log(512), 0.1);
  settings.loss.validation = true;
  const double mean = model_forward(config, parameters, batch, settings, Rounding::exact()).loss;
  EXPECT_NEAR(mean, std::log(512), 0.1);
}

TEST(Model, DoubleIsAsGoodAsItsRoundingsAllow) {
  const Config config = miniature();
  const auto parameters = random_parameters(config, 20);
  const Batch batch = random_batch(config, {0, 4, 7}, 21);
  const ModelSettings settings = settings_of(config);
  const Step step = step_of(config, parameters, batch, settings);
  const auto accurate = cast_parameters<Float128>(parameters);
  const auto forward = model_forward(config, accurate, batch, settings, Rounding::exact());
  const auto gradients =
      model_backward(config, accurate, batch, settings, forward, Float128(1), Rounding::exact());
  EXPECT_LE(std::abs(step.loss - static_cast<double>(forward.loss)), 1e-14 * step.loss);
  for (const auto& [name, grad] : step.gradients) {
    const double size = largest(grad);
    for (Index i = 0; i < grad.size(); ++i) {
      const double error = std::abs(static_cast<double>(Float128(grad[i]) - gradients.at(name)[i]));
      EXPECT_LE(error, 1e-13 * size) << name << " " << i;
    }
  }
}

TEST(Model, DoesNotDependOnTheNumberOfThreads) {
  const Config config = config_named("tiny");
  const auto parameters = random_parameters(config, 24);
  const Batch batch = random_batch(config, {0, 50, 150}, 25);
  const ModelSettings settings = settings_of(config);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Step alone = step_of(config, parameters, batch, settings);
  omp_set_num_threads(3);
  const Step together = step_of(config, parameters, batch, settings);
  omp_set_num_threads(threads);
  EXPECT_EQ(alone.loss, together.loss);
  for (const auto& [name, grad] : alone.gradients) {
    const Tensor<double>& other = together.gradients.at(name);
    for (Index i = 0; i < grad.size(); ++i) ASSERT_EQ(grad[i], other[i]) << name << " " << i;
  }
}

TEST(Model, RoundsWhereAGpuStores) {  // SPEC §3.10
  const Config config = miniature();
  const auto parameters = random_parameters(config, 26);
  const Batch batch = random_batch(config, {0, 8}, 27);
  const ModelSettings settings = settings_of(config);
  const auto exact = model_forward(config, parameters, batch, settings, Rounding::exact());
  const auto draw = [&](std::uint64_t seed) {
    return model_forward(config, parameters, batch, settings, Rounding::stochastic(seed));
  };
  const auto one = draw(1), again = draw(1), two = draw(2);
  EXPECT_EQ(one.loss, again.loss);
  EXPECT_NE(one.loss, two.loss);
  EXPECT_NE(one.loss, exact.loss);
  EXPECT_LE(std::abs(one.loss - exact.loss), 0.05 * exact.loss);
  const auto stored = model_forward(config, parameters, batch, settings, Rounding::nearest());
  for (const Tensor<double>* buffer :
       {&stored.logits, &stored.tape.x0, &stored.tape.head_input, &stored.tape.stream.back(),
        &stored.tape.blocks[0].a, &stored.tape.blocks[6].mlp_input,
        &stored.tape.blocks[3].layer.prepared.key, &stored.tape.blocks[9].layer.gated}) {
    for (const double x : buffer->values()) ASSERT_EQ(x, round_to(DType::bf16, x));
  }
}

// What a token gives to its table row is stored before the rows are summed.
TEST(Model, RoundsTheGradientOfAnEmbeddedRow) {
  const Config config = miniature();
  const auto parameters = random_parameters(config, 28);
  Batch batch = random_batch(config, {0, 3}, 29);
  batch.inputs = {2, 0, 3};
  ModelSettings settings = settings_of(config);
  settings.split_embedding = true;
  auto forward = model_forward(config, parameters, batch, settings, Rounding::nearest());
  const auto grad =
      model_backward(config, parameters, batch, settings, forward, 1.0, Rounding::nearest());
  for (const Index token : batch.inputs) {
    for (Index c = 0; c < config.width; ++c) {
      const double x = grad.at("embed")(token, c);
      ASSERT_NE(x, 0);
      ASSERT_EQ(x, round_to(DType::bf16, x));
    }
  }
}

TEST(Model, RefusesWhatDoesNotFit) {
  const Config config = miniature();
  const auto parameters = random_parameters(config, 22);
  const Batch batch = random_batch(config, {0, 6}, 23);
  const ModelSettings settings = settings_of(config);
  const auto sentence = [&](const ParameterSet<double>& p, const Batch& b) -> std::string {
    return pairedhead::refusal([&] { model_forward(config, p, b, settings, Rounding::exact()); });
  };
  EXPECT_EQ(sentence(parameters, batch), "accepted");
  Batch wrong = batch;
  wrong.targets.pop_back();
  EXPECT_EQ(sentence(parameters, wrong), "targets: expected 6 tokens, as many as inputs, got 5");
  wrong = batch;
  wrong.inputs[2] = 30;
  EXPECT_EQ(sentence(parameters, wrong), "tokens: expected values from 0 to 29, got 30");
  wrong = batch;
  wrong.cu_seqlens = {0, 5};
  EXPECT_NE(sentence(parameters, wrong), "accepted");
  auto missing = parameters;
  missing.erase("c_fc.3");
  EXPECT_EQ(sentence(missing, batch), "parameters: expected a parameter c_fc.3, got none");
  missing = parameters;
  missing.erase("embed");  // nobody reads it yet
  EXPECT_EQ(sentence(missing, batch), "accepted");
}

}  // namespace
}  // namespace pairedhead::reference
