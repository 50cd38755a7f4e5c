#include "gpu/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "gpu/batch_buffers.h"
#include "gpu/captured_work.h"
#include "gpu/device.h"
#include "gpu/emulated/yarn.h"
#include "gpu/gradient_exchange.h"
#include "gpu/gradient_tree.h"
#include "gpu/optimizer.h"
#include "gpu/ownership.h"
#include "gpu/pinned_memory.h"
#include "reference/schedule.h"

namespace pairedhead::gpu {
namespace {

using reference::Config;
using reference::PackedSequence;

constexpr Index sequence_unit = 16;
// Logits of so many tokens are held at a time in a validation.
constexpr int validation_head_tokens = 16384;

Index last_step(const Config& config) {
  return config.schedule.scheduled + config.schedule.extension;
}

int longest_training(const Config& config) {
  return static_cast<int>(
      *std::max_element(config.schedule.sequence.begin(), config.schedule.sequence.end()));
}

ModelExtent training_extent(const TrainerSettings& settings) {
  const int tokens = longest_training(settings.config);
  return {.purpose = Purpose::training, .tokens = tokens, .head_tokens = tokens};
}
ModelExtent validation_extent(const TrainerSettings& settings) {
  return {.purpose = Purpose::inference,
          .tokens = settings.validation_tokens,
          .head_tokens = std::min(settings.validation_tokens, validation_head_tokens)};
}

std::size_t model_bytes(const TrainerSettings& settings) {
  std::size_t bytes = Model::bytes(settings.config, training_extent(settings));
  if (settings.validation_tokens > 0) {
    bytes = std::max(bytes, Model::bytes(settings.config, validation_extent(settings)));
  }
  return bytes;
}

// What a step needs beside the model's own buffers.
struct StepBuffers {
  StepBuffers(const TrainerSettings& settings, const ParameterLayout& layout, int micro_batches,
              Arena& arena)
      : parameters{arena.take<__nv_bfloat16>(layout.bf16_count()),
                   arena.take<float>(layout.fp32_count())},
        tree(layout, arena),
        batches(micro_batches, most_tokens(settings),
                static_cast<int>(reference::cu_seqlens_entries(most_tokens(settings))), arena),
        frequency(arena.take<float>(settings.config.head_dim)),
        losses(arena.take<float>(2 * micro_batches)),
        token_losses(arena.take<float>(settings.validation_tokens)),
        mtp_weights(arena.take<float>(most_horizons)),
        grad_loss(arena.take<float>(1)) {}

  static int most_tokens(const TrainerSettings& settings) {
    return std::max(longest_training(settings.config), settings.validation_tokens);
  }

  ParameterBuffers parameters;
  GradientTree tree;
  BatchBuffers batches;
  float* frequency;     // [D]
  float* losses;        // [micro_batches of the rank] of the objective, then of the next token
  float* token_losses;  // [validation_tokens]
  float* mtp_weights;   // [3], zeros behind the last
  float* grad_loss;     // [1], 1 / micro-batches of the rank (SPEC §9.1)
};

// What of a sequence of `count` things a rank takes: from its first to before the next rank's.
std::size_t first_of(int rank, std::size_t count, const Communicator& communicator) {
  return static_cast<std::size_t>(rank) * count / static_cast<std::size_t>(communicator.size());
}

// Where in a tensor a rank's rows are.
struct RowBytes {
  std::size_t first, count;
};
RowBytes row_bytes(const StateTensor& tensor, int rank) {
  const reference::Owned& rows = tensor.rows[static_cast<std::size_t>(rank)];
  const std::size_t row = tensor.bytes() / static_cast<std::size_t>(tensor.shape[0]);
  return {static_cast<std::size_t>(rows.first_row) * row,
          static_cast<std::size_t>(rows.rows) * row};
}

void check_settings(const TrainerSettings& settings, const Communicator& communicator) {
  const auto refuse = [](const std::string& sentence) { throw InputError("trainer: " + sentence); };
  check_config(settings.config);
  const reference::ScheduleSettings& schedule = settings.config.schedule;
  if (schedule.micro_batches != 8) {
    refuse("expected 8 micro-batches a step, got " + std::to_string(schedule.micro_batches));
  }
  if (schedule.micro_batches % communicator.size() != 0) {
    refuse("expected 1, 2, 4 or 8 ranks, got " + std::to_string(communicator.size()));
  }
  std::vector<Index> lengths(schedule.sequence.begin(), schedule.sequence.end());
  lengths.push_back(settings.validation_tokens);
  for (const Index length : lengths) {
    if (length % sequence_unit == 0) continue;
    refuse("sequence length: expected a multiple of " + std::to_string(sequence_unit) + ", got " +
           std::to_string(length));
  }
}

// The device's free memory must hold what is about to be taken.
void check_memory(std::size_t wanted) {
  std::size_t free = 0, all = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &all));
  if (wanted <= free) return;
  const auto mib = [](std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
  throw DeviceUnavailable("the trainer needs " + mib(wanted) +
                          " on the device, expected as much free, got " + mib(free) + " of " +
                          mib(all));
}

}  // namespace

struct Trainer::Implementation {
  Implementation(const TrainerSettings& given, Communicator& ranks)
      : settings(given),
        communicator(ranks),
        layout(given.config),
        ownership(layout, ranks.size()),
        model_memory(model_bytes(given)),
        training(given.config, layout, training_extent(given), model_memory),
        step_memory(step_bytes(given, layout, ownership, ranks)),
        step_arena(step_memory),
        step(given, layout, micro_batches(given, ranks), step_arena),
        optimizer(given.config, layout, ownership, ranks.rank(), step_arena),
        exchange(ownership, ranks, step_arena),
        micro_batch_work(static_cast<std::size_t>(micro_batches(given, ranks))),
        host_losses(sizeof(float) *
                    static_cast<std::size_t>(
                        std::max(2 * micro_batches(given, ranks), given.validation_tokens))) {
    if (given.validation_tokens > 0) {
      validation.emplace(given.config, layout, validation_extent(given), model_memory);
    }
    CUDA_CHECK(cudaMemsetAsync(step_memory.data(), 0, step_memory.bytes(), stream));
    const float share = 1 / static_cast<float>(micro_batches(given, ranks));
    CUDA_CHECK(
        cudaMemcpyAsync(step.grad_loss, &share, sizeof share, cudaMemcpyHostToDevice, stream));
    stream.synchronize();
    progress.frequency = start_frequency(given.config);
    progress.long_blocks = window_schedule(0, given.config.schedule).long_blocks;
    name_state();
  }

  static std::vector<float> start_frequency(const Config& config);
  static int micro_batches(const TrainerSettings& settings, const Communicator& communicator) {
    return static_cast<int>(settings.config.schedule.micro_batches) / communicator.size();
  }
  static std::size_t step_bytes(const TrainerSettings& settings, const ParameterLayout& layout,
                                const Ownership& ownership, Communicator& communicator);
  void name_state();
  void begin_step();
  void make_tables(Model& model, int tokens);
  ModelSettings model_settings() const;
  void take_micro_batch(std::size_t i, const ModelSettings& model);
  void update_parameters(const GradientSums& gradients);
  // A timeline wants its parts one by one.
  bool captures() const { return settings.graphs && timeline == nullptr; }
  void mark(const char* part) {
    if (timeline != nullptr) timeline->mark(part, stream);
  }

  TrainerSettings settings;
  Communicator& communicator;
  ParameterLayout layout;
  Ownership ownership;
  Stream stream;
  LinearAlgebra algebra;
  DeviceMemory model_memory;  // of training and validation, which take turns
  Model training;
  std::optional<Model> validation;
  DeviceMemory step_memory;
  Arena step_arena;
  StepBuffers step;
  Optimizer optimizer;
  GradientExchange exchange;
  std::vector<CapturedWork<std::pair<ModelBatch, ModelSettings>>> micro_batch_work;
  std::array<CapturedWork<bool>, 2> update_work;  // of even and odd steps; the key: embed is split
  PinnedMemory host_losses;
  TrainerProgress progress;
  std::vector<StateTensor> state;
  Timeline* timeline = nullptr;
  const Model* tables_of = nullptr;  // whose rotary tables stand in model_memory
};

// SPEC §3.4: fp32(1024^(-m / (D/4 - 1))) for both channels of pair m in the lower half, else 0.
std::vector<float> Trainer::Implementation::start_frequency(const Config& config) {
  const Index pairs = config.head_dim / 4;
  std::vector<float> frequency(static_cast<std::size_t>(config.head_dim), 0.0f);
  for (Index channel = 0; channel < 2 * pairs; ++channel) {
    const Index pair = channel / 2;
    const double exponent = static_cast<double>(pair) / static_cast<double>(pairs - 1);
    frequency[static_cast<std::size_t>(channel)] = static_cast<float>(std::pow(1024.0, -exponent));
  }
  return frequency;
}

std::size_t Trainer::Implementation::step_bytes(const TrainerSettings& settings,
                                                const ParameterLayout& layout,
                                                const Ownership& ownership,
                                                Communicator& communicator) {
  Arena counted;
  const StepBuffers buffers(settings, layout, micro_batches(settings, communicator), counted);
  const Optimizer optimizer(settings.config, layout, ownership, communicator.rank(), counted);
  const GradientExchange exchange(ownership, communicator, counted);
  return counted.used();
}

// The windows of the step, and YaRN where the long one changed (SPEC §7.4); the final validation's
// longer window comes without.
void Trainer::Implementation::begin_step() {
  const reference::ScheduleSettings& schedule = settings.config.schedule;
  const Index blocks = window_schedule(progress.step, schedule).long_blocks;
  if (blocks == progress.long_blocks || progress.step == last_step(settings.config)) return;
  emulated::yarn_update(progress.frequency.data(), static_cast<int>(progress.frequency.size()),
                        &progress.softmax_scale, static_cast<int>(progress.long_blocks),
                        static_cast<int>(blocks), static_cast<int>(schedule.window_unit));
  progress.long_blocks = blocks;
  tables_of = nullptr;
}

void Trainer::Implementation::make_tables(Model& model, int tokens) {
  if (tables_of == &model) return;
  CUDA_CHECK(cudaMemcpyAsync(step.frequency, progress.frequency.data(),
                             progress.frequency.size() * sizeof(float), cudaMemcpyHostToDevice,
                             stream));
  model.make_rotary_tables(step.frequency, tokens, stream);
  tables_of = &model;
}

ModelSettings Trainer::Implementation::model_settings() const {
  const reference::Windows windows = window_schedule(progress.step, settings.config.schedule);
  return {.short_window = static_cast<int>(windows.short_tokens),
          .long_window = static_cast<int>(windows.long_tokens),
          .softmax_scale = static_cast<float>(progress.softmax_scale),
          .split_embedding = progress.split,
          .head = settings.head,
          .loss = {.mtp_weights = step.mtp_weights, .horizons = 1, .validation = false}};
}

// One of this rank's share: its losses, and its gradient in the tree.
void Trainer::Implementation::take_micro_batch(std::size_t i, const ModelSettings& model) {
  const ModelBatch& batch = step.batches.batches()[i];
  const auto enqueue = [&] {
    const std::size_t count = micro_batch_work.size();
    training.forward(algebra, step.parameters, batch, model,
                     {step.losses + i, step.losses + count + i, nullptr}, stream);
    training.backward(algebra, step.parameters, batch, model, step.grad_loss,
                      step.tree.leaf(static_cast<int>(i)), stream);
    step.tree.add(static_cast<int>(i), stream);
    mark("gradient sums");
  };
  if (!captures()) return enqueue();
  micro_batch_work[i].run({batch, model}, stream, enqueue);
}

void Trainer::Implementation::update_parameters(const GradientSums& gradients) {
  const auto enqueue = [&] { optimizer.enqueue(algebra, step.parameters, gradients, stream); };
  if (captures()) {
    update_work[static_cast<std::size_t>(progress.step % 2)].run(progress.split, stream, enqueue);
  } else {
    enqueue();
  }
  optimizer.count_update();
}

NonFiniteLoss::NonFiniteLoss(Index step, Index batch)
    : std::runtime_error("step " + std::to_string(step) + ", batch " + std::to_string(batch) +
                         ": expected a finite loss, got none"),
      step(step),
      batch(batch) {}

Trainer::Trainer(const TrainerSettings& settings, Communicator& communicator) {
  check_memory(bytes(settings, communicator));
  implementation_ = std::make_unique<Implementation>(settings, communicator);
}

Trainer::~Trainer() = default;

std::size_t Trainer::bytes(const TrainerSettings& settings, Communicator& communicator) {
  check_settings(settings, communicator);
  const ParameterLayout layout(settings.config);
  return model_bytes(settings) + Implementation::step_bytes(settings, layout,
                                                            Ownership(layout, communicator.size()),
                                                            communicator);
}

const TrainerProgress& Trainer::progress() const { return implementation_->progress; }

void Trainer::resume(const TrainerProgress& progress) {
  implementation_->progress = progress;
  implementation_->optimizer.resume(progress.updates);
  implementation_->tables_of = nullptr;
}

void Trainer::set_timeline(Timeline* timeline) {
  implementation_->timeline = timeline;
  implementation_->training.set_timeline(timeline);
}

const std::vector<StateTensor>& Trainer::state() const { return implementation_->state; }

std::size_t StateTensor::bytes() const {
  return static_cast<std::size_t>(element_count(shape)) * (dtype == DType::fp32 ? 4 : 2);
}

void Trainer::upload(const StateTensor& tensor, const void* from) {
  const Implementation& self = *implementation_;
  const RowBytes mine = row_bytes(tensor, self.communicator.rank());
  CUDA_CHECK(cudaMemcpyAsync(tensor.data, static_cast<const std::byte*>(from) + mine.first,
                             mine.count, cudaMemcpyHostToDevice, self.stream));
  self.communicator.wait(self.stream);
}

void Trainer::download(const StateTensor& tensor, void* to) const {
  const Implementation& self = *implementation_;
  const RowBytes mine = row_bytes(tensor, self.communicator.rank());
  // What rank 0 does not have itself arrives where it belongs in the whole tensor.
  const bool whole = row_bytes(tensor, 0).count == tensor.bytes();
  const bool collects = self.communicator.rank() == 0;
  const DeviceMemory arrived(collects && !whole ? tensor.bytes() : 0);
  std::vector<Message> sent, received;
  for (int peer = 1; peer < self.communicator.size() && !whole; ++peer) {
    const RowBytes rows = row_bytes(tensor, peer);
    if (rows.count == 0) continue;
    if (collects) received.push_back({peer, arrived.data() + rows.first, rows.count});
    if (peer == self.communicator.rank()) sent.push_back({0, tensor.data, rows.count});
  }
  // All take part, also who has nothing to give.
  if (!whole) self.communicator.exchange(sent, received, self.stream);
  if (collects) {
    if (!whole) {
      CUDA_CHECK(
          cudaMemcpyAsync(to, arrived.data(), tensor.bytes(), cudaMemcpyDeviceToHost, self.stream));
    }
    CUDA_CHECK(cudaMemcpyAsync(static_cast<std::byte*>(to) + mine.first, tensor.data, mine.count,
                               cudaMemcpyDeviceToHost, self.stream));
  }
  self.communicator.wait(self.stream);
}

TrainerLosses Trainer::train_step(std::span<const PackedSequence> micro_batches) {
  Implementation& self = *implementation_;
  const Config& config = self.settings.config;
  const reference::ScheduleSettings& schedule = config.schedule;
  TrainerProgress& progress = self.progress;
  if (progress.step >= last_step(config)) {
    throw InputError("step: expected one of the " + std::to_string(last_step(config)) +
                     " steps of configuration " + config.name + ", got " +
                     std::to_string(progress.step));
  }
  const Index tokens = sequence_length(progress.step, schedule);
  const auto all = static_cast<std::size_t>(schedule.micro_batches);
  if (micro_batches.size() != all) {
    throw InputError("step: expected " + std::to_string(all) + " micro-batches, got " +
                     std::to_string(micro_batches.size()));
  }
  for (const PackedSequence& sequence : micro_batches) {
    if (static_cast<Index>(sequence.inputs.size()) == tokens) continue;
    throw InputError("step " + std::to_string(progress.step) + ": expected sequences of " +
                     std::to_string(tokens) + " tokens, got one of " +
                     std::to_string(sequence.inputs.size()));
  }

  if (self.timeline != nullptr) self.timeline->begin(self.stream);
  self.begin_step();
  self.make_tables(self.training, longest_training(config));
  // This rank's share of them: a subtree of the tree of gradients.
  const std::size_t first = first_of(self.communicator.rank(), all, self.communicator);
  const std::size_t count = all / static_cast<std::size_t>(self.communicator.size());
  self.step.batches.upload(micro_batches.subspan(first, count), self.stream);
  const std::vector<double> weights = mtp_weights(progress.step, schedule);
  const std::vector<float> rounded(weights.begin(), weights.end());
  CUDA_CHECK(cudaMemcpyAsync(self.step.mtp_weights, rounded.data(), rounded.size() * sizeof(float),
                             cudaMemcpyHostToDevice, self.stream));
  self.mark("batch and tables");
  ModelSettings settings = self.model_settings();
  settings.loss.horizons = static_cast<int>(weights.size());
  self.training.prepare_weights(self.step.parameters, settings.head, self.stream);
  self.optimizer.prepare_step(progress.step, self.stream);
  for (std::size_t i = 0; i < count; ++i) self.take_micro_batch(i, settings);

  // A loss that is no number must not reach the parameters.
  float* const losses = self.host_losses.as<float>();
  CUDA_CHECK(cudaMemcpyAsync(losses, self.step.losses, 2 * count * sizeof(float),
                             cudaMemcpyDeviceToHost, self.stream));
  self.communicator.wait(self.stream);
  const std::vector<float> of_all =
      self.communicator.gather_values(std::span<const float>(losses, 2 * count));
  TrainerLosses mean;
  const double share = 1 / (static_cast<double>(all) * static_cast<double>(tokens));
  for (std::size_t i = 0; i < all; ++i) {
    const std::size_t at = i / count * 2 * count + i % count;
    if (!std::isfinite(of_all[at])) throw NonFiniteLoss(progress.step, static_cast<Index>(i));
    mean.objective += share * static_cast<double>(of_all[at]);
    mean.next_token += share * static_cast<double>(of_all[at + count]);
  }

  self.mark("loss read-out");
  const GradientSums& gradients = self.exchange.average(self.step.tree, self.stream);
  self.mark("exchange");
  self.update_parameters(gradients);
  self.mark("update");
  self.exchange.share(self.step.parameters, self.stream);
  if (progress.step == split_step(schedule)) {
    self.optimizer.split_embedding(self.step.parameters, self.stream);
    progress.split = true;
  }
  self.mark("exchange");
  progress.updates = self.optimizer.updates();
  ++progress.step;
  return mean;
}

std::vector<float> Trainer::validate(std::span<const PackedSequence> sequences) {
  Implementation& self = *implementation_;
  self.begin_step();
  for (const PackedSequence& sequence : sequences) {
    const std::size_t tokens = sequence.inputs.size();
    if (self.validation && tokens <= static_cast<std::size_t>(self.settings.validation_tokens)) {
      continue;
    }
    throw InputError("validation: expected sequences of at most " +
                     std::to_string(self.settings.validation_tokens) + " tokens, got one of " +
                     std::to_string(tokens));
  }
  std::vector<float> mine;
  const int rank = self.communicator.rank();
  const std::size_t first = first_of(rank, sequences.size(), self.communicator);
  const std::size_t end = first_of(rank + 1, sequences.size(), self.communicator);
  for (const PackedSequence& sequence : sequences.subspan(first, end - first)) {
    if (self.tables_of != &*self.validation) {  // so far the memory was the training model's
      self.make_tables(*self.validation, self.settings.validation_tokens);
      self.validation->prepare_weights(self.step.parameters, HeadForm::bf16, self.stream);
    }
    self.step.batches.upload({&sequence, 1}, self.stream);
    ModelSettings settings = self.model_settings();
    settings.head = HeadForm::bf16;
    settings.loss.validation = true;
    self.validation->forward(self.algebra, self.step.parameters, self.step.batches.batches()[0],
                             settings, {nullptr, nullptr, self.step.token_losses}, self.stream);
    float* const losses = self.host_losses.as<float>();
    CUDA_CHECK(cudaMemcpyAsync(losses, self.step.token_losses,
                               sequence.inputs.size() * sizeof(float), cudaMemcpyDeviceToHost,
                               self.stream));
    self.communicator.wait(self.stream);
    mine.insert(mine.end(), losses, losses + sequence.inputs.size());
  }
  // The parameters may change before the next validation.
  self.tables_of = nullptr;
  return self.communicator.gather_values(std::span<const float>(mine));
}

void Trainer::Implementation::name_state() {
  for (const ParameterPlace& place : layout.places()) {
    void* const data = place.bf16() ? static_cast<void*>(step.parameters.matrix(place))
                                    : static_cast<void*>(step.parameters.vector(place));
    const std::vector<reference::Owned> everywhere(static_cast<std::size_t>(communicator.size()),
                                                   {0, place.info.shape[0]});
    state.push_back(
        {"parameters/" + place.info.name, place.info.dtype, place.info.shape, data, everywhere});
  }
  for (StateTensor& tensor : optimizer.state()) state.push_back(std::move(tensor));
}

}  // namespace pairedhead::gpu
