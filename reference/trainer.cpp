#include "reference/trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "reference/model.h"
#include "reference/mutant.h"
#include "reference/rows.h"
#include "reference/schedule.h"
#include "reference/sharding.h"
#include "reference/side_by_side.h"
#include "reference/softcap.h"

namespace pairedhead::reference {
namespace {

constexpr Index sequence_unit = 16;
// Up to so many logits (or elements of a matrix) several are worked on at once.
constexpr Index small_logits = 1 << 20;
constexpr Index small_matrix = 1 << 18;

Index last_step(const Config& config) {
  return config.schedule.scheduled + config.schedule.extension;
}

// One draw of the noise for a named part of a step.
Rounding rounding_of(const TrainerSettings& settings, Index step, std::uint64_t part) {
  return settings.rounding.split(static_cast<std::uint64_t>(step)).split(part);
}
// Parts: the forward passes from 0 on, then these.
constexpr std::uint64_t accumulation_part = 1 << 8, mean_part = 1 << 9, normuon_part = 1 << 10,
                        validation_part = 1 << 11;

void require_step_to_train(const TrainerState& state, const Config& config) {
  if (state.step < last_step(config)) return;
  throw InputError("step: expected one of the " + std::to_string(last_step(config)) +
                   " steps of configuration " + config.name + ", got " +
                   std::to_string(state.step));
}

// At the start of a step, before any validation (SPEC §7.4). The final validation's longer window
// comes without an update.
void begin_step(TrainerState& state, const Config& config) {
  const Index blocks = window_schedule(state.step, config.schedule).long_blocks;
  const bool final = state.step == last_step(config);
  if (blocks == state.long_blocks) return;
  if (final && !mutated(Mutant::yarn_at_final_validation)) return;
  state.rotary = yarn_update(state.rotary, state.long_blocks, blocks, config.schedule.window_unit);
  state.long_blocks = blocks;
}

ModelSettings model_settings(const TrainerState& state, const Config& config) {
  const Windows windows = window_schedule(state.step, config.schedule);
  ModelSettings settings;
  settings.short_window = windows.short_tokens;
  settings.long_window = windows.long_tokens;
  settings.rotary = state.rotary;
  settings.split_embedding = state.split;
  return settings;
}

Batch batch_of(const PackedSequence& sequence) {
  Batch batch{{sequence.inputs.begin(), sequence.inputs.end()},
              {sequence.targets.begin(), sequence.targets.end()},
              sequence.cu_seqlens};
  if (mutated(Mutant::targets_unshifted)) batch.targets = batch.inputs;
  return batch;
}

// -ln of the probability that the model gives to each target.
std::vector<double> token_losses(const ModelForward<double>& forward, const Batch& batch) {
  std::vector<double> losses;
  for (std::size_t t = 0; t < batch.targets.size(); ++t) {
    const auto row = static_cast<Index>(t);
    losses.push_back(forward.logsumexp[row] - softcapped(forward.logits(row, batch.targets[t])));
  }
  return losses;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

void add(Tensor<double>& sum, const Tensor<double>& part) {
  for (Index i = 0; i < sum.size(); ++i) sum[i] += part[i];
}

// What a pass adds to the gradients of its rank, which are held in the parameters' dtype (SPEC
// §9.2).
struct Contribution {
  ParameterSet<double> gradients;
  ParameterSet<double>& sum;
  Rounding rounding;
};

// Adds one after the other, parameter by parameter: a sum stays in the cache until all have added
// to it.
void accumulate(std::vector<Contribution> contributions, const std::vector<ParameterInfo>& table) {
  for (Contribution& added : contributions) {
    for (const auto& [name, gradient] : added.gradients) added.sum.try_emplace(name);
  }
  side_by_side(static_cast<Index>(table.size()), true, [&](Index number) {
    const auto i = static_cast<std::size_t>(number);
    for (Contribution& added : contributions) {
      const auto gradient = added.gradients.find(table[i].name);
      if (gradient == added.gradients.end()) continue;
      Tensor<double>& sum = added.sum.at(table[i].name);
      if (sum.size() == 0) {
        sum = std::move(gradient->second);
      } else {
        add(sum, gradient->second);
      }
      if (table[i].dtype == DType::bf16) sum = added.rounding.split(i).bf16(std::move(sum));
    }
  });
}

// The mean of one parameter's gradient over the ranks (SPEC §9.4), of which the first is used up;
// empty where there is none.
Tensor<double> mean_over_ranks(std::vector<ParameterSet<double>>& ranks, const ParameterInfo& info,
                               Rounding rounding) {
  const auto first = ranks[0].find(info.name);
  if (first == ranks[0].end()) return {};
  Tensor<double> sum = std::move(first->second);
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) add(sum, ranks[rank].at(info.name));
  if (ranks.size() > 1 && !mutated(Mutant::ranks_summed)) {
    for (double& value : sum.values()) value *= 1 / static_cast<double>(ranks.size());
  }
  return info.dtype == DType::bf16 ? rounding.bf16(std::move(sum)) : sum;
}

// Every rank updates the rows that it owns, with the state that it alone holds.
void adam_on_shards(Tensor<double>& parameter, AdamMoments& moments, const Tensor<double>& gradient,
                    const AdamParameter& settings, double learning_rate, Storage storage,
                    const std::vector<Owned>& shards) {
  if (shards.size() == 1) {  // the update as it is defined: what several ranks are held against
    return adam_update(parameter, moments, gradient, settings, learning_rate, storage);
  }
  const Tensor<double> before = parameter;
  const AdamMoments held = moments;
  for (const auto& [first, count] : shards) {
    Tensor<double> rows = rows_of(before, first, count);
    AdamMoments state{rows_of(held.first, first, count), rows_of(held.second, first, count),
                      held.updates};
    adam_update(rows, state, rows_of(gradient, first, count), settings, learning_rate, storage);
    put_rows(rows, first, parameter);
    put_rows(state.first, first, moments.first);
    put_rows(state.second, first, moments.second);
    moments.updates = state.updates;
  }
}

void update_normuon(TrainerState& state, std::vector<ParameterSet<double>>& gradients,
                    const std::vector<ParameterInfo>& table, const TrainerSettings& settings) {
  const ScheduleSettings& schedule = settings.config.schedule;
  const double rate = learning_rate(state.step, schedule), inertia = momentum(state.step, schedule);
  const Rounding mean_rounding = rounding_of(settings, state.step, mean_part);
  const Rounding rounding = rounding_of(settings, state.step, normuon_part);
  const auto matrices = std::count_if(table.begin(), table.end(), [](const ParameterInfo& info) {
    return info.optimizer == Optimizer::normuon;
  });  // which come first
  const bool small = element_count(table[0].shape) <= small_matrix;
  side_by_side(matrices, small, [&](Index number) {
    const auto i = static_cast<std::size_t>(number);
    const ParameterInfo& info = table[i];
    normuon_update(state.parameters.at(info.name), state.normuon.at(info.name),
                   mean_over_ranks(gradients, info, mean_rounding.split(i)),
                   {info.label == "attn" ? 4 : 1, info.lr_mul, info.wd_mul}, rate, inertia,
                   settings.storage, rounding.split(i));
  });
}

void update_adam(TrainerState& state, const std::vector<ParameterInfo>& table,
                 const TrainerSettings& settings) {
  const Index rate_step =
      mutated(Mutant::adam_rate_of_even_step) && state.step > 0 ? state.step - 1 : state.step;
  const double rate = learning_rate(rate_step, settings.config.schedule);
  const Rounding mean_rounding = rounding_of(settings, state.step, mean_part);
  for (const ParameterInfo& info : table) {
    // embed before the split: not even its t advances.
    if (!state.pending[0].contains(info.name)) continue;
    state.adam.try_emplace(info.name, adam_start(info.shape));
  }
  side_by_side(static_cast<Index>(table.size()), true, [&](Index number) {
    const auto i = static_cast<std::size_t>(number);
    const ParameterInfo& info = table[i];
    if (!state.pending[0].contains(info.name)) return;
    adam_on_shards(state.parameters.at(info.name), state.adam.at(info.name),
                   mean_over_ranks(state.pending, info, mean_rounding.split(i)),
                   {adam_betas(info.label), info.lr_mul, info.wd_mul, info.dtype}, rate,
                   settings.storage, owners(table, info, settings.ranks));
  });
  for (ParameterSet<double>& rank : state.pending) rank.clear();
}

// SPEC §7.5.
void split_embedding(TrainerState& state) {
  state.parameters["embed"] = state.parameters.at("lm_head");
  const Shape& shape = state.parameters.at("embed").shape();
  state.adam["embed"] =
      mutated(Mutant::split_forgets_moments) ? adam_start(shape) : state.adam.at("lm_head");
  state.split = true;
}

// What one forward and backward pass gives.
struct Pass {
  ParameterSet<double> gradients;
  StepLosses losses;
};

Pass run_pass(const TrainerState& state, const ScoredSequence& sequence, Index number,
              const ModelSettings& model, const TrainerSettings& settings) {
  const Config& config = settings.config;
  const Index micro_batches = config.schedule.micro_batches / settings.ranks;  // of a rank: ga
  const double grad_loss =
      mutated(Mutant::loss_not_divided) ? 1 : 1 / static_cast<double>(micro_batches);
  const Batch batch = batch_of(sequence.packed);
  const Rounding rounding = rounding_of(settings, state.step, static_cast<std::uint64_t>(number));
  const ModelForward<double> forward =
      model_forward(config, state.parameters, batch, model, rounding);
  if (!std::isfinite(forward.loss)) throw NonFiniteLoss(state.step, number);
  Pass pass;
  pass.losses.objective = forward.loss / static_cast<double>(batch.inputs.size());
  pass.losses.next_token = mean(token_losses(forward, batch));
  pass.gradients =
      model_backward(config, state.parameters, batch, model, forward, grad_loss, rounding);
  return pass;
}

// Gradients of one step, by rank, and what was lost on the way.
struct Accumulated {
  std::vector<ParameterSet<double>> ranks;
  StepLosses losses;
};

Accumulated accumulate_step(const TrainerState& state, const std::vector<ScoredSequence>& sequences,
                            const std::vector<ParameterInfo>& table,
                            const TrainerSettings& settings) {
  const Config& config = settings.config;
  ModelSettings model = model_settings(state, config);
  model.loss.mtp_weights = mtp_weights(state.step, config.schedule);

  const Index passes = config.schedule.micro_batches;
  const auto length = static_cast<Index>(sequences.front().packed.inputs.size());
  const bool small = length * config.vocabulary <= small_logits;
  const Index at_once = small ? passes : 1;
  Accumulated sum;
  sum.ranks.resize(static_cast<std::size_t>(settings.ranks));
  const double share = 1 / static_cast<double>(passes);
  for (Index first = 0; first < passes; first += at_once) {
    std::vector<Pass> done(static_cast<std::size_t>(at_once));
    side_by_side(at_once, small, [&](Index i) {
      done[static_cast<std::size_t>(i)] = run_pass(
          state, sequences[static_cast<std::size_t>(first + i)], first + i, model, settings);
    });
    std::vector<Contribution> contributions;
    for (Index i = 0; i < at_once; ++i) {
      Pass& pass = done[static_cast<std::size_t>(i)];
      const Index number = first + i;
      sum.losses.objective += share * pass.losses.objective;
      sum.losses.next_token += share * pass.losses.next_token;
      const auto part = accumulation_part + static_cast<std::uint64_t>(number);
      contributions.push_back({std::move(pass.gradients),
                               sum.ranks[static_cast<std::size_t>(number % settings.ranks)],
                               rounding_of(settings, state.step, part)});
    }
    accumulate(std::move(contributions), table);
  }
  sum.losses.floor = floor_of(sequences);
  return sum;
}

}  // namespace

NonFiniteLoss::NonFiniteLoss(Index step, Index batch)
    : std::runtime_error("step " + std::to_string(step) + ", batch " + std::to_string(batch) +
                         ": expected a finite loss, got none"),
      step(step),
      batch(batch) {}

void check_trainer(const TrainerSettings& settings) {
  const auto refuse = [](const std::string& sentence) { throw InputError("trainer: " + sentence); };
  const Config& config = settings.config;
  check_config(config);
  if (settings.ranks < 1 || config.schedule.micro_batches % settings.ranks != 0) {
    refuse("ranks: expected a divisor of " + std::to_string(config.schedule.micro_batches) +
           " micro-batches, got " + std::to_string(settings.ranks));
  }
  std::vector<Index> lengths(config.schedule.sequence.begin(), config.schedule.sequence.end());
  lengths.push_back(settings.validation_length);
  for (const Index length : lengths) {
    if (length % sequence_unit != 0) {
      refuse("sequence length: expected a multiple of " + std::to_string(sequence_unit) + ", got " +
             std::to_string(length));
    }
  }
  if (settings.validation_every < 0 ||
      (settings.validation_every > 0 &&
       (settings.validation_sequences < 1 || settings.validation_length < 1))) {
    refuse("validation: expected a step count, sequences and a length that are positive");
  }
  const auto table = parameter_table(config, settings.ranks);
  for (const ParameterInfo& info : table) owners(table, info, settings.ranks);
}

void set_validation(TrainerSettings& settings) {
  if (settings.config.name == "record") {
    settings.validation_every = 250;
    settings.validation_sequences = 40;
    settings.validation_length = 262144;
  } else if (settings.config.name == "small") {
    settings.validation_every = 50;
    settings.validation_sequences = 8;
    settings.validation_length = 2048;
  } else {
    settings.validation_every = 10;
    settings.validation_sequences = 16;
    settings.validation_length = 256;
  }
}

TrainerState start_training(const TrainerSettings& settings, ParameterSet<double> parameters) {
  check_trainer(settings);
  const auto table = parameter_table(settings.config, settings.ranks);
  check_parameters("initial parameters", parameters, table);
  TrainerState state;
  state.parameters = std::move(parameters);
  for (const ParameterInfo& info : table) {
    if (info.optimizer == Optimizer::normuon) {
      state.normuon.emplace(info.name, normuon_start(info.shape));
    }
  }
  state.pending.resize(static_cast<std::size_t>(settings.ranks));
  state.rotary = rotary_start(settings.config.head_dim);
  state.long_blocks = window_schedule(0, settings.config.schedule).long_blocks;
  return state;
}

std::vector<ScoredSequence> step_sequences(TrainingData& data, Index step,
                                           const TrainerSettings& settings) {
  const ScheduleSettings& schedule = settings.config.schedule;
  const Index batch_step = mutated(Mutant::batch_size_late) && step > 0 ? step - 1 : step;
  const Index length = sequence_length(batch_step, schedule);
  std::vector<ScoredSequence> sequences;
  while (static_cast<Index>(sequences.size()) < schedule.micro_batches) {
    for (ScoredSequence& sequence : data.next(settings.ranks, length)) {
      sequences.push_back(std::move(sequence));
    }
  }
  return sequences;
}

std::optional<double> floor_of(const std::vector<ScoredSequence>& sequences) {
  double floor = 0;
  const double share = 1 / static_cast<double>(sequences.size());
  for (const ScoredSequence& sequence : sequences) {
    if (sequence.surprisal.empty()) return std::nullopt;
    floor += share * mean(sequence.surprisal);
  }
  return floor;
}

StepLosses train_step(TrainerState& state, const std::vector<ScoredSequence>& sequences,
                      const TrainerSettings& settings) {
  const Config& config = settings.config;
  require_step_to_train(state, config);
  if (static_cast<Index>(sequences.size()) != config.schedule.micro_batches) {
    throw InputError("step: expected " + std::to_string(config.schedule.micro_batches) +
                     " sequences, got " + std::to_string(sequences.size()));
  }
  begin_step(state, config);
  const auto table = parameter_table(config, settings.ranks);
  Accumulated step = accumulate_step(state, sequences, table, settings);

  const bool adam_step = state.step % 2 == 1 || mutated(Mutant::adam_every_step);
  std::vector<Contribution> contributions;
  for (std::size_t rank = 0; rank < step.ranks.size(); ++rank) {
    ParameterSet<double> of_adam;
    for (const ParameterInfo& info : table) {
      if (info.optimizer == Optimizer::adam) of_adam.insert(step.ranks[rank].extract(info.name));
    }
    if (mutated(Mutant::even_gradients_dropped)) state.pending[rank].clear();
    contributions.push_back({std::move(of_adam), state.pending[rank],
                             rounding_of(settings, state.step, accumulation_part + 64 + rank)});
  }
  accumulate(std::move(contributions), table);

  const bool split_now = state.step == split_step(config.schedule);
  if (split_now && mutated(Mutant::split_before_update)) split_embedding(state);
  update_normuon(state, step.ranks, table, settings);
  if (adam_step) update_adam(state, table, settings);
  if (split_now && !state.split) split_embedding(state);
  ++state.step;
  return step.losses;
}

StepLosses train_step(TrainerState& state, TrainingData& data, const TrainerSettings& settings) {
  require_step_to_train(state, settings.config);
  const StepLosses losses = train_step(state, step_sequences(data, state.step, settings), settings);
  state.position = data.position();
  return losses;
}

bool validates_at(Index step, const TrainerSettings& settings) {
  if (settings.validation_every == 0) return false;
  return step % settings.validation_every == 0 || step == last_step(settings.config);
}

std::vector<double> validation_losses(TrainerState& state,
                                      const std::vector<ScoredSequence>& sequences,
                                      const TrainerSettings& settings) {
  const Config& config = settings.config;
  begin_step(state, config);
  ModelSettings model = model_settings(state, config);
  model.loss.validation = true;
  std::vector<std::vector<double>> by_sequence(sequences.size());
  const bool small = settings.validation_length * config.vocabulary <= small_logits;
  side_by_side(static_cast<Index>(sequences.size()), small, [&](Index number) {
    const auto i = static_cast<std::size_t>(number);
    const Batch batch = batch_of(sequences[i].packed);
    const Rounding rounding = rounding_of(settings, state.step, validation_part + i);
    by_sequence[i] =
        token_losses(model_forward(config, state.parameters, batch, model, rounding), batch);
  });
  std::vector<double> losses;
  for (const std::vector<double>& part : by_sequence) {
    losses.insert(losses.end(), part.begin(), part.end());
  }
  return losses;
}

Validation score_validation(Index step, const std::vector<double>& losses,
                            const std::vector<ScoredSequence>& sequences) {
  std::vector<double> surprisal;
  auto loss = losses.begin();
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    for (std::size_t t = 0; t < sequences[i].packed.targets.size(); ++t) {
      if (!std::isfinite(*loss++)) throw NonFiniteLoss(step, static_cast<Index>(i));
    }
    const std::vector<double>& known = sequences[i].surprisal;
    surprisal.insert(surprisal.end(), known.begin(), known.end());
  }
  Validation result;
  result.loss = mean(losses);
  if (surprisal.empty()) return result;
  result.floor = mean(surprisal);
  const double excess = result.loss - *result.floor;
  double squares = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double deviation = losses[i] - surprisal[i] - excess;
    squares += deviation * deviation;
  }
  const auto count = static_cast<double>(losses.size());
  result.standard_error = std::sqrt(squares / (count * (count - 1)));
  return result;
}

Validation validate(TrainerState& state, const TrainingData& data,
                    const TrainerSettings& settings) {
  const std::vector<ScoredSequence> sequences =
      data.validation(settings.validation_sequences, settings.validation_length);
  return score_validation(state.step, validation_losses(state, sequences, settings), sequences);
}

}  // namespace pairedhead::reference
