#pragma once

#include <map>
#include <string>
#include <vector>

#include "gpu/adam_optimizer.h"
#include "gpu/normuon_optimizer.h"
#include "reference/config.h"

namespace pairedhead::gpu {

// Both optimizers as the training loop applies them (SPEC §6.5): NorMuon at every step, Adam at odd
// ones. It holds their state of what a rank owns and knows their rates; the parameters are the
// caller's.
class Optimizer {
 public:
  // Cuts its buffers from the arena, whose memory the caller fills with zeros: the state before
  // step 0.
  Optimizer(const reference::Config& config, const ParameterLayout& layout,
            const Ownership& ownership, int rank, Arena& arena);

  // Brings to the device what changes from step to step. Before the update of every step, and not
  // as a part of a captured graph.
  void prepare_step(Index step, cudaStream_t stream);

  // The update of the step that was prepared. What it enqueues depends on nothing but whether the
  // step is odd and whether the embedding is split.
  void update(LinearAlgebra& algebra, const ParameterBuffers& parameters,
              const GradientSums& gradients, cudaStream_t stream);
  // update() in two: the launches alone, for a graph, and that a graph has launched them.
  void enqueue(LinearAlgebra& algebra, const ParameterBuffers& parameters,
               const GradientSums& gradients, cudaStream_t stream) const;
  void count_update();

  // SPEC §7.5, after the update of the split step.
  void split_embedding(const ParameterBuffers& parameters, cudaStream_t stream);

  // t of each parameter that Adam has moved (SPEC §6.3); embed is among them once it is split.
  std::map<std::string, Index> updates() const { return adam_.updates(); }
  // Takes up a run, after its tensors were filled.
  void resume(const std::map<std::string, Index>& updates) { adam_.resume(updates); }

  // What both hold, in a fixed order.
  std::vector<StateTensor> state() const;

 private:
  bool adam_moves() const { return step_ % 2 == 1; }

  reference::ScheduleSettings schedule_;
  NormuonOptimizer normuon_;
  AdamOptimizer adam_;
  Index step_ = 0;
};

}  // namespace pairedhead::gpu
