#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <span>

namespace pairedhead::gpu {

// What SPEC §6.3 multiplies with, made on the host in double and rounded once.
struct AdamFactors {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float step_size;  // lr_p sqrt(1 - beta2^t) / (1 - beta1^t)
  float decay;      // lr_p^2 0.005 wd_mul
};
// learning_rate: lr_p; weight_decay: 0.005 wd_mul; updates: t >= 1, this one included.
AdamFactors adam_factors(double beta1, double beta2, double learning_rate, double weight_decay,
                         std::int64_t updates);

// One parameter among those of a launch, every array on the device, [count].
struct AdamTensor {
  void* parameter;        // bf16 or fp32, updated
  bool bf16;              // which of the two
  const float* gradient;  // fp32 whatever the parameter's storage
  const float* earlier;   // the previous step's, added to it first (SPEC §6.5); or nullptr
  float* first_moment;    // updated
  float* second_moment;   // updated
  std::int64_t count;
};

// SPEC §6.3 for all of `tensors`, a sequence of fp32 operations each rounded to nearest, none
// contracted, denormals kept: the same bits on every machine. factors: on the device, one a tensor.
// Throws CudaError.
void adam_update(std::span<const AdamTensor> tensors, const AdamFactors* factors,
                 cudaStream_t stream);

}  // namespace pairedhead::gpu
