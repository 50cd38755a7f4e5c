#pragma once

#include <vector>

#include "gpu/arena.h"
#include "gpu/comm/communicator.h"
#include "gpu/gradient_tree.h"
#include "gpu/ownership.h"

namespace pairedhead::gpu {

// What travels between the ranks in a step (SPEC §9): gradients to the owners of their parameters
// before the update, parameters to everybody after it. The bytes of a reduce-scatter and an
// all-gather, but added up in the order of GradientTree, so that any number of ranks gives the same
// bits.
class GradientExchange {
 public:
  // Of the eight micro-batches of a step, an equal number on each rank, in order. The references
  // must outlive it. Cuts room for what arrives from the arena: nothing for one rank.
  GradientExchange(const Ownership& ownership, Communicator& communicator, Arena& arena);

  // After this rank's micro-batches were added to the tree: the mean over the ranks of all that
  // this rank owns, in a node of the tree whose rest is undefined.
  const GradientSums& average(const GradientTree& tree, cudaStream_t stream);

  // After the update: every rank gets what the others own.
  void share(const ParameterBuffers& parameters, cudaStream_t stream);

 private:
  // What arrives of each of the others, the owned stretches one behind the other.
  struct Arrived {
    std::vector<std::byte*> bf16, fp32;  // by rank
  };
  template <class Bf16>
  void average_of(const Bf16* of_bf16, const float* of_fp32, const GradientTree& tree,
                  cudaStream_t stream);
  template <class Gradient>
  void add_up(const std::vector<Stretch>& stretches, const Gradient* own,
              const std::vector<std::byte*>& arrived, float* sum, float* half,
              cudaStream_t stream) const;
  bool one_gradient_each() const;

  const Ownership& ownership_;
  Communicator& communicator_;
  Arrived arrived_;
};

}  // namespace pairedhead::gpu
