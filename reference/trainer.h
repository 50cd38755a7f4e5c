#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reference/optim/optimizer.h"
#include "reference/parameters.h"
#include "reference/rotary.h"
#include "reference/rounding.h"
#include "reference/training_data.h"

// The whole training loop in double (SPEC §6.5, §7, §8, §9, §10): what a fast trainer is held
// against, step by step.

namespace pairedhead::reference {

struct TrainerSettings {
  Config config;
  Index ranks = 1;  // W, simulated; divides the micro-batches of a step
  Storage storage = Storage::exact;
  Rounding rounding = Rounding::exact();  // at the M points
  // Before each step that this divides, and at the end (SPEC §10); 0: never.
  Index validation_every = 0;
  Index validation_sequences = 0, validation_length = 0;
};

// Throws InputError unless the configuration stands, the ranks divide the micro-batches, every
// sequence is a multiple of 16 tokens (SPEC §15), and a validation has tokens.
void check_trainer(const TrainerSettings& settings);

// The configuration's own validation: of the record 10,485,760 tokens every 250 steps, of the
// others what a CPU can bear.
void set_validation(TrainerSettings& settings);

// All that a run needs to go on from here (SPEC §10).
struct TrainerState {
  Index step = 0;  // the next one
  ParameterSet<double> parameters;
  std::map<std::string, NormuonState> normuon;
  std::map<std::string, AdamMoments> adam;    // embed has none before the split
  std::vector<ParameterSet<double>> pending;  // by rank, gradients that Adam has not used yet
  RotaryState rotary;                         // of both tables, which always agree
  Index long_blocks = 0;                      // the long window that it was made for
  bool split = false;                         // embed is its own parameter
  BatchPosition position;                     // of the training text
};

// The state before step 0 with these parameters, those of parameter_table(config, ranks). Throws
// InputError where they are not.
TrainerState start_training(const TrainerSettings& settings, ParameterSet<double> parameters);

// Losses in nats a token, averaged over the step's tokens.
struct StepLosses {
  double objective = 0;         // with its MTP weights: what is minimised
  double next_token = 0;        // the term of the next token alone
  std::optional<double> floor;  // the mean -ln p of the targets, where it is known
};

// A loss that is no number. `batch` counts the step's forward passes from 0.
class NonFiniteLoss : public std::runtime_error {
 public:
  NonFiniteLoss(Index step, Index batch);
  Index step, batch;
};

// What one step trains on, in the order of its forward passes: rank r of the text's m-th call has
// pass m W + r. Throws what TrainingData::next throws.
std::vector<ScoredSequence> step_sequences(TrainingData& data, Index step,
                                           const TrainerSettings& settings);

// The mean over sequences, all as long, of the mean -ln p of their targets; nullopt where it is not
// known.
std::optional<double> floor_of(const std::vector<ScoredSequence>& sequences);

// One step: windows and YaRN, the micro-batches of all ranks, both optimizers, the split. Throws
// InputError where the schedule has ended or the sequences are not as many as it says, and
// NonFiniteLoss; the state is then as before. Whoever read the sequences keeps state.position.
StepLosses train_step(TrainerState& state, const std::vector<ScoredSequence>& sequences,
                      const TrainerSettings& settings);

// The same on what the text has next. Throws InputError also where the text has ended.
StepLosses train_step(TrainerState& state, TrainingData& data, const TrainerSettings& settings);

struct Validation {
  double loss = 0;              // mean over the targets
  std::optional<double> floor;  // mean -ln p of the same targets
  double standard_error = 0;    // of loss - floor
  // Whether the loss lies further below the floor than chance allows, by four standard errors: no
  // model that sees only the past does.
  bool sees_the_future() const { return floor && loss < *floor - 4 * standard_error; }
};

// Whether the loop validates before `step` (at the schedule's end: instead of it).
bool validates_at(Index step, const TrainerSettings& settings);

// SPEC §10, with the windows of state.step: -ln of the probability of each target, one sequence
// after the other. Changes nothing but the YaRN update that begins the step, which train_step then
// does not repeat.
std::vector<double> validation_losses(TrainerState& state,
                                      const std::vector<ScoredSequence>& sequences,
                                      const TrainerSettings& settings);

// What such losses say. Throws NonFiniteLoss naming step and sequence.
Validation score_validation(Index step, const std::vector<double>& losses,
                            const std::vector<ScoredSequence>& sequences);

// Both, of the text's first sequences. Throws InputError where it is too short, and NonFiniteLoss.
Validation validate(TrainerState& state, const TrainingData& data, const TrainerSettings& settings);

}  // namespace pairedhead::reference
