#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

// Softcap and multi-token cross entropy from the head's logits (SPEC §3.8 "Softcap", §3.9).

namespace pairedhead::gpu {

struct LossShape {
  int tokens, vocabulary;  // T, V
};

inline constexpr int most_horizons = 3;

// The horizons' weights, 1 to 3 of them, on the device: they change from step to step while a
// captured step does not. Unused places hold zero.
struct LossSettings {
  const float* mtp_weights;  // fp32 [horizons]
  int horizons;              // K
  bool validation;           // mean of the first term, weights ignored

  bool operator==(const LossSettings&) const = default;
};

std::size_t softcap_loss_workspace_bytes(const LossShape& shape);

// What the forward pass leaves, fp32 on the device. All but logsumexp may be nullptr;
// next_token_loss only with loss.
struct LossOutputs {
  float* logsumexp;                  // [T]
  float* loss = nullptr;             // [1]
  float* next_token_loss = nullptr;  // [1], the sum (validation: mean) of the term k = 0 alone
  float* token_losses = nullptr;     // [T], lse_t - l[t, targets[t]]
};

// z: bf16 [T, V]; targets: int32 [T], each in [0, V). Reads z once.
void softcap_loss_forward(const LossShape& shape, const __nv_bfloat16* z,
                          const std::int32_t* targets, const LossSettings& settings,
                          const LossOutputs& outputs, void* workspace, cudaStream_t stream);

// The gradient of grad_loss * loss. grad_loss: fp32, device. grad_z: bf16 [T, V].
void softcap_loss_backward(const LossShape& shape, const __nv_bfloat16* z, const float* logsumexp,
                           const std::int32_t* targets, const LossSettings& settings,
                           const float* grad_loss, __nv_bfloat16* grad_z, cudaStream_t stream);

// The same gradient, rounded to bf16 and then quantised, e5m2(bf16(dz) / scale) (SPEC §3.10 "dz"),
// both layouts in one pass over z: codes [T, V], transposed [V, T].
void softcap_loss_backward_fp8(const LossShape& shape, const __nv_bfloat16* z,
                               const float* logsumexp, const std::int32_t* targets,
                               const LossSettings& settings, const float* grad_loss, float scale,
                               std::uint8_t* codes, std::uint8_t* transposed, cudaStream_t stream);

}  // namespace pairedhead::gpu
