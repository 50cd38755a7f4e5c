#include "reference/block.h"

#include <gtest/gtest.h>

#include "reference/mlp.h"
#include "reference/rms_norm.h"
#include "reference/rotary.h"
#include "tests/reference/support.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// The tensors of one layer, H = 2, D = 8, in one place: what a derivative is taken along.
template <class Scalar>
struct Layer {
  Tensor<Scalar> x, x0, x_skip, ve, qkvo, c_fc, c_proj, gate, value_gate, skip_gate, lambdas;

  std::vector<Tensor<Scalar>*> tensors() {
    return {&x, &x0, &x_skip, &ve, &qkvo, &c_fc, &c_proj, &gate, &value_gate, &skip_gate, &lambdas};
  }
  BlockStreams<Scalar> streams() const { return {x, x0, x_skip, ve}; }
  BlockWeights<Scalar> weights() const {
    return {.c_fc = c_fc,
            .c_proj = c_proj,
            .rho = lambdas[0],
            .lam = lambdas[1],
            .layer = {.qkvo = qkvo,
                      .gate = gate,
                      .value_gate = value_gate,
                      .alpha = lambdas[2],
                      .omega = lambdas[3]},
            .skip_gate = skip_gate,
            .theta = lambdas[4]};
  }
};

Layer<double> random_layer(Index tokens, std::uint64_t seed) {
  Random random(seed);
  const Shape stream = {tokens, 16};
  Layer<double> layer;
  for (Tensor<double>* t : {&layer.x, &layer.x0, &layer.x_skip, &layer.ve}) {
    *t = normal_tensor(stream, random);
  }
  layer.qkvo = normal_tensor({64, 16}, random);
  layer.c_fc = normal_tensor({12, 16}, random);
  layer.c_proj = normal_tensor({12, 16}, random);
  layer.gate = normal_tensor({2, 12}, random);
  layer.value_gate = normal_tensor({2, 12}, random);
  layer.skip_gate = normal_tensor({1, 12}, random);
  layer.lambdas = normal_tensor({5}, random);
  for (Tensor<double>* t : {&layer.qkvo, &layer.c_fc, &layer.c_proj}) {
    for (double& value : t->values()) value *= 0.25;
  }
  return layer;
}

BlockSettings settings_of(Index tokens, Pairing pairing, bool shift_keys) {
  return {.attention = true,
          .skip = true,
          .layer = {.heads = 2,
                    .attention = {.pairing = pairing,
                                  .window = 3,
                                  .softmax_scale = 0.12,
                                  .cu_seqlens = {0, tokens / 2, tokens}},
                    .shift_keys = shift_keys}};
}

template <class Scalar>
RotaryFactors<Scalar> factors_of(Index tokens, bool paired) {
  const RotaryTable table = rotary_table(rotary_start(8).frequency, tokens, paired);
  return {cast<Scalar>(table.cosine), cast<Scalar>(table.sine)};
}

template <class Scalar>
Tensor<Scalar> forward(const Layer<Scalar>& layer, const BlockSettings& settings,
                       BlockTape<Scalar>& tape) {
  const bool paired = settings.layer.attention.pairing != Pairing::none;
  return block(layer.streams(), layer.weights(), factors_of<Scalar>(layer.x.dim(0), paired),
               settings, Rounding::exact(), tape);
}

// Gradients in the order of Layer::tensors().
std::vector<Tensor<double>> gradients(const Layer<double>& layer, const BlockSettings& settings,
                                      const Tensor<double>& grad_out) {
  BlockTape<double> tape;
  forward(layer, settings, tape);
  const bool paired = settings.layer.attention.pairing != Pairing::none;
  auto grad =
      block_backward(layer.streams(), layer.weights(), factors_of<double>(layer.x.dim(0), paired),
                     settings, tape, grad_out, Rounding::exact());
  Tensor<double> lambdas({5});
  lambdas[0] = grad.rho;
  lambdas[1] = grad.lam;
  lambdas[2] = grad.layer.alpha;
  lambdas[3] = grad.layer.omega;
  lambdas[4] = grad.theta;
  return {grad.x,    grad.x0,     grad.x_skip,     grad.layer.value_embedding, grad.layer.qkvo,
          grad.c_fc, grad.c_proj, grad.layer.gate, grad.layer.value_gate,      grad.skip_gate,
          lambdas};
}

TEST(Block, BackwardIsTheTransposedDerivative) {
  for (const auto& [pairing, shift] :
       {std::pair{Pairing::none, false}, {Pairing::none, true}, {Pairing::strided, false}}) {
    Layer<double> layer = random_layer(7, 1);
    const BlockSettings settings = settings_of(7, pairing, shift);
    Random random(2);
    const Tensor<double> grad_out = normal_tensor({7, 16}, random);
    const auto grads = gradients(layer, settings, grad_out);
    Layer<Dual> moved;
    InnerProduct forwards, backwards;
    for (std::size_t i = 0; i < grads.size(); ++i) {
      const Tensor<double>& value = *layer.tensors()[i];
      const Tensor<double> direction = normal_tensor(value.shape(), random);
      *moved.tensors()[i] = dual(value, direction);
      backwards.add(grads[i], direction);
    }
    BlockTape<Dual> tape;
    forwards.add(grad_out, forward(moved, settings, tape));
    EXPECT_LE(disagreement(forwards, backwards), certified_limit);
  }
}

TEST(Block, WithoutAttentionIsTheMixAndTheMlp) {  // SPEC §3.2, layer 6
  const Layer<double> layer = random_layer(4, 3);
  BlockSettings settings = settings_of(4, Pairing::none, false);
  settings.attention = settings.skip = false;
  BlockTape<double> tape;
  const Tensor<double> out = forward(layer, settings, tape);
  Tensor<double> mixed({4, 16});
  for (Index i = 0; i < mixed.size(); ++i) {
    mixed[i] = layer.lambdas[0] * layer.x[i] + layer.lambdas[1] * layer.x0[i];
  }
  const Tensor<double> added = mlp(rms_norm(mixed), layer.c_fc, layer.c_proj, Rounding::exact());
  for (Index i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], mixed[i] + added[i], 1e-14);
}

TEST(Block, SkipIsScaledByTheMix) {  // SPEC §3.3.2
  Layer<double> layer = random_layer(3, 4);
  BlockSettings settings = settings_of(3, Pairing::none, false);
  settings.attention = false;
  std::fill(layer.c_proj.values().begin(), layer.c_proj.values().end(), 0.0);
  std::fill(layer.skip_gate.values().begin(), layer.skip_gate.values().end(), 0.0);
  layer.lambdas[4] = -1.5;
  BlockTape<double> tape;
  const Tensor<double> out = forward(layer, settings, tape);
  const double gain = 1 / (1 + std::exp(1.5));  // 0.18243 (SPEC §3.3.1)
  for (Index i = 0; i < out.size(); ++i) {
    const double expected =
        layer.lambdas[0] * (layer.x[i] + gain * layer.x_skip[i]) + layer.lambdas[1] * layer.x0[i];
    EXPECT_NEAR(out[i], expected, 1e-14);
  }
}

TEST(Block, RefusesWhatDoesNotFit) {
  Layer<double> layer = random_layer(4, 5);
  const BlockSettings settings = settings_of(4, Pairing::none, false);
  BlockTape<double> tape;
  layer.qkvo = Tensor<double>({48, 16});
  try {
    forward(layer, settings, tape);
    FAIL() << "no InputError";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "qkvo: expected shape [64, 16], got [48, 16]");
  }
}

}  // namespace
}  // namespace pairedhead::reference
