#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gpu/arena.h"
#include "gpu/gradient_tree.h"
#include "gpu/kernels/adam.h"
#include "gpu/ownership.h"
#include "gpu/parameter_layout.h"
#include "gpu/trainer_state.h"

namespace pairedhead::gpu {

// Adam over all rows that a rank owns of parameters that are no matrices of NorMuon (SPEC §6.3),
// every second step by the sum of two steps' gradients (SPEC §6.5).
class AdamOptimizer {
 public:
  // Cuts its buffers from the arena; the state before step 0 is zero. Embed is left alone until it
  // is split.
  AdamOptimizer(const ParameterLayout& layout, const Ownership& ownership, int rank, Arena& arena);

  // Brings to the device the factors of the next update, at lr(step).
  void prepare(double learning_rate, cudaStream_t stream);

  // Keeps the gradients of an even step for the next.
  void enqueue_keep(const GradientSums& gradients, cudaStream_t stream) const;
  // Moves every row owned by the gradients kept and these, with the factors prepared last.
  void enqueue_update(const ParameterBuffers& parameters, const GradientSums& gradients,
                      cudaStream_t stream) const;
  // One more update has been enqueued.
  void count_update();

  // SPEC §7.5: embed, its moments and its count become copies of lm_head's, whose rows must all be
  // there.
  void split_embedding(const ParameterBuffers& parameters, cudaStream_t stream);

  // t of each parameter that has been moved; embed is among them once it is split.
  std::map<std::string, Index> updates() const;
  void resume(const std::map<std::string, Index>& updates);

  // adam/NAME/first and second, pending/NAME: fp32 of the parameter's shape, with the rows owned.
  std::vector<StateTensor> state() const;

 private:
  struct Moved {
    ParameterPlace place;
    std::vector<reference::Owned> rows;  // by rank
    std::int64_t first, count;           // what this one owns, in the layout
    std::int64_t kept;                   // where that is in the three buffers below
    double beta1, beta2;
    Index updates;
    bool split;  // false: embed, still tied to lm_head
  };
  static const float* gradient(const GradientSums& gradients, const Moved& one);
  Moved& moved(const std::string& name);

  std::vector<Moved> moved_;
  float *first_moment_ = nullptr, *second_moment_ = nullptr, *pending_ = nullptr;
  AdamFactors* factors_ = nullptr;  // of the parameters that are moved, in their order
};

}  // namespace pairedhead::gpu
