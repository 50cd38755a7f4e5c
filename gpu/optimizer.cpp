#include "gpu/optimizer.h"

#include "reference/schedule.h"

namespace pairedhead::gpu {

Optimizer::Optimizer(const reference::Config& config, const ParameterLayout& layout,
                     const Ownership& ownership, int rank, Arena& arena)
    : schedule_(config.schedule),
      normuon_(layout, ownership, rank, arena),
      adam_(layout, ownership, rank, arena) {}

void Optimizer::prepare_step(Index step, cudaStream_t stream) {
  step_ = step;
  const double rate = reference::learning_rate(step, schedule_);
  normuon_.prepare(reference::momentum(step, schedule_), rate, stream);
  if (adam_moves()) adam_.prepare(rate, stream);
}

void Optimizer::update(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                       const GradientSums& gradients, cudaStream_t stream) {
  enqueue(algebra, parameters, gradients, stream);
  count_update();
}

void Optimizer::enqueue(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                        const GradientSums& gradients, cudaStream_t stream) const {
  normuon_.enqueue(algebra, parameters, gradients, stream);
  if (adam_moves()) {
    adam_.enqueue_update(parameters, gradients, stream);
  } else {
    adam_.enqueue_keep(gradients, stream);
  }
}

void Optimizer::count_update() {
  if (adam_moves()) adam_.count_update();
}

void Optimizer::split_embedding(const ParameterBuffers& parameters, cudaStream_t stream) {
  adam_.split_embedding(parameters, stream);
}

std::vector<StateTensor> Optimizer::state() const {
  std::vector<StateTensor> state = normuon_.state();
  for (StateTensor& tensor : adam_.state()) state.push_back(std::move(tensor));
  return state;
}

}  // namespace pairedhead::gpu
