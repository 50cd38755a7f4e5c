#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reference/dtype.h"
#include "reference/optim/variance_reduction.h"
#include "reference/rounding.h"
#include "reference/tensor.h"

// The two optimizers as the training loop applies them (SPEC §6): one call a parameter and step.
// When they are called, and with which gradients, is the loop's affair (SPEC §6.5, §7.5, §9).

namespace pairedhead::reference {

// What a parameter and its optimizer's state are held in.
//   exact       double, nothing rounded: the truth of a step
//   as_defined  as SPEC §2, §6.2, §6.3 define them, on which every machine must agree: matrices
//               bf16 with a mantissa extension, Adam parameters bf16 or fp32, moments fp32; the
//               updates are the fp32 sequences of cautious_split.h and adam.h
enum class Storage { exact, as_defined };

// A matrix that NorMuon moves (SPEC §6.1).
struct NormuonSettings {
  Index matrices =
      1;  // orthogonalised apart, one below the other: 4 for Q, K, V, O; 1 for an MLP's
  double learning_rate_multiplier = 1;  // lr_mul
  double weight_decay_multiplier = 1;   // wd_mul
};

struct NormuonState {
  Tensor<double> moment;                // M, [rows, columns]
  Tensor<double> second_moment;         // S, [rows], those of the matrices one after the other
  std::vector<std::uint16_t> mantissa;  // q, rows * columns; unused in exact
};
// The state before the first step: zeros. shape: [rows, columns].
NormuonState normuon_start(const Shape& shape);

// eff_lr and eff_wd of SPEC §6.1.6 for a parameter of `shape`; learning_rate is the schedule's
// factor lr(step).
struct NormuonRates {
  double learning_rate, weight_decay;
};
NormuonRates normuon_rates(const Shape& shape, const NormuonSettings& settings,
                           double learning_rate);

// SPEC §6.1.3-4: the direction U of a parameter, [rows, columns], each of its matrices
// orthogonalised. M points: those of polar_express.
Tensor<double> normuon_orthogonal(const Tensor<double>& direction, Index matrices,
                                  Rounding rounding);

// SPEC §6.1.5: each of the matrices of orthogonal, [rows, columns], through variance_reduction,
// with S, [rows]. M points: its. Scalars double and Magnitude.
template <class Scalar>
VarianceReduction<Scalar> normuon_normalised(Tensor<Scalar> orthogonal, Index matrices,
                                             const Tensor<Scalar>& second_moment,
                                             Rounding rounding);

// SPEC §6.1, one step of one parameter in place. parameter, gradient: [rows, columns]; gradient is
// the average that SPEC §9 describes; momentum is mu(step). In as_defined storage the parameter
// holds bf16 values before and after; the M points of §6.1.3-5, and O between and
// after them, pass through `rounding` in both.
// Throws InputError where shapes differ or rows do not divide into the matrices.
void normuon_update(Tensor<double>& parameter, NormuonState& state, const Tensor<double>& gradient,
                    const NormuonSettings& settings, double learning_rate, double momentum,
                    Storage storage, Rounding rounding);

// A parameter that Adam moves (SPEC §6.3).
struct AdamBetas {
  double beta1, beta2;
};
// By label: lm_head embed value_embed smear_gate skip_gate attn_gate_bank ve_gate_bank x0_lambdas
// scalars. Throws InputError on another.
AdamBetas adam_betas(std::string_view label);

struct AdamParameter {
  AdamBetas betas;
  double learning_rate_multiplier = 1;  // lr_mul
  double weight_decay_multiplier = 1;   // wd_mul
  DType storage = DType::bf16;          // or fp32; unused in exact
};

struct AdamMoments {
  Tensor<double> first, second;  // m and v, of the parameter's shape
  Index updates = 0;             // t
};
AdamMoments adam_start(const Shape& shape);

// SPEC §6.3, one update of one parameter in place, all of the same shape; gradient is the sum that
// SPEC §6.5 describes, learning_rate the schedule's factor lr(step). Throws InputError where shapes
// differ.
void adam_update(Tensor<double>& parameter, AdamMoments& moments, const Tensor<double>& gradient,
                 const AdamParameter& settings, double learning_rate, Storage storage);

}  // namespace pairedhead::reference
