#pragma once

#include <vector>

#include "reference/block.h"
#include "reference/config.h"
#include "reference/head.h"
#include "reference/parameters.h"
#include "reference/rotary.h"
#include "reference/softcap_loss.h"

// The whole model (SPEC §3, §5): from tokens to the loss, and from the loss to the gradient of
// every parameter.

namespace pairedhead::reference {

// One forward pass of packed documents (SPEC §8).
struct Batch {
  std::vector<Index> inputs;      // [T], from 0 to V - 1
  std::vector<Index> targets;     // [T], the token after each input
  std::vector<Index> cu_seqlens;  // 0, then document ends, the last T; repeated entries are empty
};

// What changes from step to step, but not from one forward pass of a step to the next.
struct ModelSettings {
  Index short_window = 128, long_window = 384;  // tokens; paired layers count flat rows (SPEC §3.7)
  RotaryState rotary;                           // frequencies and kappa (SPEC §3.5)
  bool split_embedding = false;                 // the lookup reads embed, not lm_head (SPEC §7.5)
  HeadForm head = HeadForm::bf16;               // of training (SPEC §3.8)
  LossSettings loss;
};

// What the backward pass reads of the forward pass.
template <class Scalar>
struct ModelTape {
  Tensor<Scalar> embedded, smeared, x0;         // e, s and rms(s), [T, C]
  std::vector<Tensor<Scalar>> value_embedding;  // [T, C] each
  std::vector<Tensor<Scalar>> stream;           // what enters each layer, and what leaves the last
  std::vector<BlockTape<Scalar>> blocks;
  Tensor<Scalar> reduced, head_input;  // after the backout, and its rms
};

template <class Scalar>
struct ModelForward {
  Scalar loss;
  Tensor<Scalar> logits;     // z, before the softcap, [T, V]
  Tensor<Scalar> logsumexp;  // of the softcapped logits, [T]
  ModelTape<Scalar> tape;
};

// SPEC §3.1 to §3.9. parameters: those of parameter_table for any number of ranks (embed may be
// absent while the embedding is tied). M points: x0, the stream between layers, the head's input,
// z, and those of block. Throws InputError on a configuration that check_config refuses, parameters
// that are missing or misshapen, tokens or targets outside the vocabulary, cu_seqlens that do not
// end at T and windows < 1.
template <class Scalar>
ModelForward<Scalar> model_forward(const Config& config, const ParameterSet<Scalar>& parameters,
                                   const Batch& batch, const ModelSettings& settings,
                                   Rounding rounding);

// The parts of model_forward one after the other, for whoever goes on from a result of his own:
// model_trunk gives the tape, model_logits z from the tape's head_input, model_loss the loss and
// logsumexp from z. The arguments are model_forward's, not checked again.
template <class Scalar>
ModelForward<Scalar> model_trunk(const Config& config, const ParameterSet<Scalar>& parameters,
                                 const Batch& batch, const ModelSettings& settings,
                                 Rounding rounding);
template <class Scalar>
void model_logits(const ParameterSet<Scalar>& parameters, const ModelSettings& settings,
                  Rounding rounding, ModelForward<Scalar>& forward);
template <class Scalar>
void model_loss(const Batch& batch, const ModelSettings& settings, ModelForward<Scalar>& forward);
// And those of model_backward: model_logits_backward gives dz, [T, V], model_head_backward what the
// head makes of it for its input, x: [T, C], and for lm_head, w: [V, C], and model_trunk_backward
// the rest. None rounds what it returns; the next takes it as an M point.
template <class Scalar>
Tensor<Scalar> model_logits_backward(const Batch& batch, const ModelSettings& settings,
                                     const ModelForward<Scalar>& forward, const Scalar& grad_loss);
template <class Scalar>
LinearGradients<Scalar> model_head_backward(const ParameterSet<Scalar>& parameters,
                                            const ModelSettings& settings,
                                            const ModelForward<Scalar>& forward,
                                            const Tensor<Scalar>& grad_logits, Rounding rounding);
template <class Scalar>
ParameterSet<Scalar> model_trunk_backward(const Config& config,
                                          const ParameterSet<Scalar>& parameters,
                                          const Batch& batch, const ModelSettings& settings,
                                          const ModelForward<Scalar>& forward,
                                          const LinearGradients<Scalar>& grad_head,
                                          Rounding rounding);

// SPEC §5: the gradient of grad_loss * loss for every parameter, in its shape; in training
// grad_loss is 1 / (micro-batches of a rank), SPEC §9. `forward` is model_forward's answer for the
// same arguments; its logits are used up. Absent is embed while the embedding is tied: a parameter
// without a gradient is not updated. M points: the gradients of z, of the head's input, of the
// streams where they meet, of x0, x_skip, x_back and the value embeddings after each contribution,
// of lm_head before the embedding's is added, and those of block_backward. The final rounding is
// the caller's.
template <class Scalar>
ParameterSet<Scalar> model_backward(const Config& config, const ParameterSet<Scalar>& parameters,
                                    const Batch& batch, const ModelSettings& settings,
                                    const ModelForward<Scalar>& forward, const Scalar& grad_loss,
                                    Rounding rounding);

}  // namespace pairedhead::reference
