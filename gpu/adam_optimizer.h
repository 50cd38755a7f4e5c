#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gpu/arena.h"
#include "gpu/gradient_tree.h"
#include "gpu/kernels/adam.h"
#include "gpu/parameter_layout.h"
#include "gpu/trainer_state.h"

namespace pairedhead::gpu {

// Adam over all parameters that are no matrices of NorMuon (SPEC §6.3), every second step by the
// sum of two steps' gradients (SPEC §6.5).
class AdamOptimizer {
 public:
  // Cuts its buffers from the arena; the state before step 0 is zero. Embed is left alone until it
  // is split.
  AdamOptimizer(const ParameterLayout& layout, Arena& arena);

  // Brings to the device the factors of the next update, at lr(step).
  void prepare(double learning_rate, cudaStream_t stream);

  // Keeps the gradients of an even step for the next.
  void enqueue_keep(const GradientSums& gradients, cudaStream_t stream) const;
  // Moves every parameter by the gradients kept and these, with the factors prepared last.
  void enqueue_update(const ParameterBuffers& parameters, const GradientSums& gradients,
                      cudaStream_t stream) const;
  // One more update has been enqueued.
  void count_update();

  // SPEC §7.5: embed, its moments and its count become copies of lm_head's.
  void split_embedding(const ParameterBuffers& parameters, cudaStream_t stream);

  // t of each parameter that has been moved; embed is among them once it is split.
  std::map<std::string, Index> updates() const;
  void resume(const std::map<std::string, Index>& updates);

  // adam/NAME/first and second, pending/NAME: fp32 of the parameter's shape.
  std::vector<StateTensor> state() const;

 private:
  struct Moved {
    ParameterPlace place;
    double beta1, beta2;
    Index updates;
    bool split;  // false: embed, still tied to lm_head
  };
  // Of the two moments and the kept gradients: one buffer a dtype of the parameters, as
  // GradientSums has them, without the matrices of NorMuon, which come first in the layout.
  float* place_in(const GradientSums& buffers, const ParameterPlace& place) const;
  Moved& moved(const std::string& name);

  std::vector<Moved> moved_;
  std::int64_t first_ = 0, bf16_count_ = 0, fp32_count_ = 0;  // of the layout's bf16 elements
  GradientSums first_moment_ = {}, second_moment_ = {}, pending_ = {};
  AdamFactors* factors_ = nullptr;  // of the parameters that are moved, in their order
};

}  // namespace pairedhead::gpu
