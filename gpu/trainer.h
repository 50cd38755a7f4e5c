#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gpu/comm/communicator.h"
#include "gpu/model.h"
#include "gpu/parameter_layout.h"
#include "gpu/trainer_state.h"
#include "reference/document_packer.h"

// The training loop on the device (SPEC §6.5, §7, §9, §10), one call a step or a validation. What
// is read, logged and saved around it is its caller's.

namespace pairedhead::gpu {

struct TrainerSettings {
  reference::Config config;
  HeadForm head = HeadForm::fp8;  // of training
  // The longest sequence of a validation, 0 where there is none; the head takes it piece by piece.
  int validation_tokens = 0;
  // A step's launches become CUDA graphs as soon as they repeat; without, the same bits.
  bool graphs = true;
};

// Losses in nats a token of one step, averaged over its micro-batches.
struct TrainerLosses {
  double objective = 0;   // with its MTP weights: what is minimised
  double next_token = 0;  // the term of the next token alone
};

// A loss that is no number; `batch` counts the step's micro-batches from 0. Nothing was updated.
class NonFiniteLoss : public std::runtime_error {
 public:
  NonFiniteLoss(Index step, Index batch);
  Index step, batch;
};

// One rank of a run, or all of it. Ranks take equal shares of a step's micro-batches and own parts
// of the optimizers' state; every function is called on all of them, with the same arguments, and
// throws on all of them alike. Any number of ranks gives the same bits, but for the fp8 head, whose
// gradients are larger the more ranks there are (SPEC §9.1). `scalars` has no padding (SPEC §2.1):
// it is replicated, and the state belongs to a run on any number of ranks.
class Trainer {
 public:
  // The state before step 0, its parameters undefined: whoever makes it fills them through state().
  // Throws DeviceUnavailable with one sentence that says how many bytes are wanted and free where
  // the device has too few, InputError on a configuration that SPEC §15 refuses or whose sequences
  // are no multiples of 16 tokens, or on a number of ranks that its micro-batches or tables do not
  // divide by. The communicator must outlive it.
  explicit Trainer(const TrainerSettings& settings, Communicator& communicator = single_rank());
  ~Trainer();

  // Bytes that it takes on the device of this rank.
  static std::size_t bytes(const TrainerSettings& settings,
                           Communicator& communicator = single_rank());

  const TrainerProgress& progress() const;
  // Takes up a run where `progress` left it, after the tensors were filled.
  void resume(const TrainerProgress& progress);

  // Every tensor that a checkpoint holds, in a fixed order. Those of a parameter that has no state
  // yet (Adam's of embed before the split) are there and hold zeros.
  const std::vector<StateTensor>& state() const;

  // Copies a whole tensor between the host and the devices; wait until it is done. Every rank is
  // given it and keeps its rows; rank 0 alone gets it, from all.
  void upload(const StateTensor& tensor, const void* from);
  void download(const StateTensor& tensor, void* to) const;

  // One step over its micro-batches, those of all ranks, which have the length that the schedule
  // gives it. The host waits once, for the losses. Throws NonFiniteLoss, InputError where the
  // schedule has ended or the sequences are not as many or as long as it says.
  TrainerLosses train_step(std::span<const reference::PackedSequence> micro_batches);

  // SPEC §10 with the windows of the present step: -ln of the probability of each target, [T], one
  // sequence after the other. Throws InputError where one is longer than the settings allow.
  std::vector<float> validate(std::span<const reference::PackedSequence> sequences);

  // From now on steps are marked on it, from begin() to the end of the update; nullptr: on none.
  void set_timeline(Timeline* timeline);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace pairedhead::gpu
