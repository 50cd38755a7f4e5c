#pragma once

#include <cstdint>
#include <vector>

#include "gpu/kernels/attention.h"
#include "gpu/kernels/head.h"
#include "gpu/kernels/softcap_loss.h"
#include "gpu/model_buffers.h"
#include "gpu/parameter_layout.h"
#include "gpu/timeline.h"
#include "reference/config.h"

// The whole model on the device (SPEC §3, §5): the kernels in their order, and the buffers between
// them. Nothing here allocates or synchronises.

namespace pairedhead::gpu {

// What the logits are multiplied with in training (SPEC §3.8); a validation takes bf16.
enum class HeadForm { bf16, fp8 };

// One forward pass of packed documents (SPEC §8), on the device.
struct ModelBatch {
  int tokens;                      // T, at most the largest that the model was made for
  const std::int32_t* inputs;      // [T], each in [0, V)
  const std::int32_t* targets;     // [T], each in [0, V)
  const std::int32_t* cu_seqlens;  // [entries], see AttentionProblem
  int entries;

  bool operator==(const ModelBatch&) const = default;
};

// What changes from step to step.
struct ModelSettings {
  int short_window, long_window;  // tokens; paired layers count flat rows (SPEC §3.7)
  float softmax_scale;            // kappa (SPEC §3.5)
  bool split_embedding;           // the lookup reads embed, not lm_head (SPEC §7.5)
  HeadForm head;
  LossSettings loss;

  bool operator==(const ModelSettings&) const = default;
};

// Where the losses of a pass go, fp32 on the device; any may be nullptr, next_token only with loss.
struct ModelLoss {
  // One for each piece of the sequence that the head takes at a time: as softcap_loss_forward
  // counts it, and its term of the next token alone.
  float* loss = nullptr;
  float* next_token = nullptr;
  float* token_losses = nullptr;  // [T], -ln of the probability of each target
};

class Model {
 public:
  // Works in `memory`, at least bytes() of it; models that are not used at the same time may share
  // one. Memory and layout must outlive the model. Throws std::invalid_argument on head sizes that
  // the kernels do not have (head_dim a multiple of 8 up to 128), what check_config throws.
  Model(const reference::Config& config, const ParameterLayout& layout, const ModelExtent& extent,
        const DeviceMemory& memory);

  // Bytes on the device that such a model takes. Throws as the constructor.
  static std::size_t bytes(const reference::Config& config, const ModelExtent& extent);

  // SPEC §3.4: the tables of both kinds of layers for `tokens` positions from the frequencies, fp32
  // [D] on the device. Once, and whenever these change.
  void make_rotary_tables(const float* frequency, int tokens, cudaStream_t stream);

  // What is made of the parameters once a step: the lambda-scaled matrices, and for HeadForm::fp8
  // the quantised lm_head.
  void prepare_weights(const ParameterBuffers& parameters, HeadForm head, cudaStream_t stream);

  // SPEC §3.1 to §3.9, after prepare_weights for the same parameters.
  void forward(LinearAlgebra& algebra, const ParameterBuffers& parameters, const ModelBatch& batch,
               const ModelSettings& settings, const ModelLoss& loss, cudaStream_t stream);

  // SPEC §5, after forward with the same arguments: the gradient of *grad_loss (fp32, device) times
  // the loss for every parameter, overwritten; of `embed` while the embedding is tied it is left as
  // it is. Throws std::logic_error on a model for inference.
  void backward(LinearAlgebra& algebra, const ParameterBuffers& parameters, const ModelBatch& batch,
                const ModelSettings& settings, const float* grad_loss,
                const ParameterBuffers& gradients, cudaStream_t stream);

  // What the head's products make of dz, once more: the gradients of head_input, grad_input, bf16
  // [T, C], and of lm_head, grad_weight, bf16 [V, C]. After backward it gives the bits that were in
  // it.
  void backward_head_products(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                              const ModelBatch& batch, const ModelSettings& settings,
                              __nv_bfloat16* grad_input, __nv_bfloat16* grad_weight,
                              cudaStream_t stream);

  // Marks its parts on `timeline` from now on; nullptr: on none.
  void set_timeline(Timeline* timeline) { timeline_ = timeline; }

  // z of the last forward, bf16 [T, V] (inference: of its last tokens only). In bf16 the backward
  // pass overwrites it with dz.
  const __nv_bfloat16* logits() const { return buffers_.logits; }
  // Of the softcapped logits' rows, fp32 [T].
  const float* logsumexp() const { return buffers_.logsumexp; }
  // What the head multiplied in it, bf16 [T, C].
  const __nv_bfloat16* head_input() const { return buffers_.head_input; }

 private:
  void mark(const char* part, cudaStream_t stream) const {
    if (timeline_ != nullptr) timeline_->mark(part, stream);
  }
  AttentionProblem attention_problem(std::size_t layer, const ModelBatch& batch,
                                     const ModelSettings& settings) const;
  const ParameterPlace& table(const ModelSettings& settings) const;
  __nv_bfloat16* stream_before(std::size_t layer) const;
  void forward_attention(std::size_t layer, LinearAlgebra& algebra,
                         const ParameterBuffers& parameters, const ModelBatch& batch,
                         const ModelSettings& settings, cudaStream_t stream);
  void forward_head(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                    const ModelBatch& batch, const ModelSettings& settings, const ModelLoss& loss,
                    cudaStream_t stream);
  void backward_head(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                     const ModelBatch& batch, const ModelSettings& settings, const float* grad_loss,
                     const ParameterBuffers& gradients, cudaStream_t stream);
  void backward_attention(std::size_t layer, LinearAlgebra& algebra,
                          const ParameterBuffers& parameters, const ModelBatch& batch,
                          const ModelSettings& settings, const __nv_bfloat16* grad_attended,
                          bool first_use_of_table, const ParameterBuffers& gradients,
                          cudaStream_t stream);

  reference::Config config_;
  const ParameterLayout& layout_;
  ModelExtent extent_;
  Timeline* timeline_ = nullptr;
  ModelBuffers buffers_;
};

}  // namespace pairedhead::gpu
