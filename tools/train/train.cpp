#include "tools/train/train.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "reference/schedule.h"
#include "tools/report/html_report.h"
#include "tools/report/progress.h"
#include "tools/report/write_file.h"
#include "tools/train/batch_reader.h"
#include "tools/train/checkpoint.h"
#include "tools/train/ensemble.h"
#include "tools/train/finite_state.h"
#include "tools/train/stop_signal.h"
#include "tools/train/training_device.h"
#include "tools/train/training_log.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;
using reference::BatchPosition;
using reference::ScoredSequence;
using reference::StepLosses;
using reference::TrainerSettings;
using reference::TrainingData;
using reference::Validation;

constexpr const char* synthetic = "synthetic";

TrainingData open_data(const TrainOptions& options) {
  const reference::Config& config = options.settings.config;
  if (options.data == synthetic) {
    if (!options.validation.empty()) {
      throw InputError("--validation: expected none, since synthetic text has its own, got \"" +
                       options.validation + "\"");
    }
    return TrainingData::synthetic(config, options.seed);
  }
  return TrainingData::from_shards(config, options.data, options.validation, options.cycle);
}

RunIdentity identity_of(const TrainOptions& options) {
  return {options.data == synthetic ? fmt::format("synthetic, seed {}", options.seed)
                                    : options.data};
}

reference::ParameterSet<double> first_parameters(const TrainOptions& options) {
  const TrainerSettings& settings = options.settings;
  if (options.init.empty()) {
    return initial_parameters(settings.config, options.seed, settings.ranks);
  }
  return read_weights(options.init, parameter_table(settings.config, settings.ranks));
}

std::unique_ptr<TrainingDevice> open_device(const TrainOptions& options,
                                            const TrainerSettings& settings) {
  return options.device == TrainOn::gpu ? make_gpu_device(settings, options.fp8_head)
                                        : make_reference_device(settings);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string cost_words(const StepCost& cost) {
  std::string words =
      fmt::format("  {:.1f} ms  {:.0f} tokens/s", 1e3 * cost.seconds, cost.tokens_per_second);
  if (cost.mfu) words += fmt::format("  MFU {:.1f} %", 100 * *cost.mfu);
  if (cost.memory_bytes) words += fmt::format("  {} MiB", *cost.memory_bytes >> 20);
  return words;
}

// Said at once, also where standard output is a file.
template <class... Values>
void say(fmt::format_string<Values...> format, Values&&... values) {
  fmt::print(format, std::forward<Values>(values)...);
  flush_standard_output();
}

std::string floor_words(const std::optional<double>& floor) {
  return floor ? fmt::format("  floor {:.4f}", *floor) : "";
}

// One run of the loop, from wherever its state stands.
class Run {
 public:
  explicit Run(const TrainOptions& options)
      : options_(options),
        settings_(options.settings),
        data_(open_data(options)),
        last_(settings_.config.schedule.scheduled + settings_.config.schedule.extension),
        end_(options.steps > 0 ? std::min(options.steps, last_) : last_) {
    if (!data_.has_validation()) settings_.validation_every = 0;
    reference::check_trainer(settings_);
    device_ = open_device(options_, settings_);
    if (device_->leads()) open_folder();
    begin();
  }

  int train();

 private:
  fs::path checkpoint() const { return options_.out / "checkpoint.h5"; }
  void open_folder() const;
  void begin();
  StepCost cost_of(Index step, double seconds) const;
  void step();
  bool validate();
  void save();
  void train_member(Index member);
  std::vector<TrainingCurve> members() const;
  bool lies_within_ensemble() const;
  void write_page(const std::string& verdict, bool good) const;
  std::string last_checkpoint() const;
  int stopped(const char* signal);
  int not_finite(const std::exception& error) const;

  const TrainOptions& options_;
  TrainerSettings settings_;
  TrainingData data_;
  const Index last_, end_;  // the schedule's last step, and the one to stop before
  std::unique_ptr<TrainingDevice> device_;
  std::unique_ptr<BatchReader> reader_;
  BatchPosition position_;  // of the text behind the last step taken
  Index saved_ = -1;        // the step of the last checkpoint
  std::optional<Validation> validation_;
  std::optional<TrainingLog> log_;  // of the process that leads
};

// Nothing of an earlier run is overwritten unless asked for.
void Run::open_folder() const {
  std::error_code error;
  fs::create_directory(options_.out, error);
  if (!fs::is_directory(options_.out)) {
    throw InputError(options_.out.string() + ": expected a folder that can be made, got " +
                     (error ? error.message() : "something else"));
  }
  const bool there = fs::exists(checkpoint());
  if (there && !options_.resume) {
    throw InputError(checkpoint().string() +
                     ": expected no checkpoint without --resume, got one of an earlier run");
  }
  if (!there && options_.resume) {
    throw InputError(checkpoint().string() + ": expected a checkpoint to resume, got none");
  }
  // What a save that was killed left behind.
  for (const auto& entry : fs::directory_iterator(options_.out)) {
    if (entry.path().filename().string().starts_with("checkpoint.h5.part")) {
      fs::remove(entry.path(), error);
    }
  }
}

void Run::begin() {
  if (options_.resume) {
    position_ = device_->load(checkpoint(), identity_of(options_));
    data_.go_to(position_);
    saved_ = device_->step();
    if (saved_ > end_) {
      throw InputError(fmt::format("--steps: expected {} or more, where {} stands, got {}", saved_,
                                   checkpoint().string(), end_));
    }
  } else {
    reference::ParameterSet<double> parameters = first_parameters(options_);
    if (!options_.save_init.empty() && device_->leads()) {
      write_weights(options_.save_init, parameters,
                    parameter_table(settings_.config, settings_.ranks));
    }
    device_->start(std::move(parameters));
    position_ = data_.position();
  }
  reader_ = std::make_unique<BatchReader>(data_, device_->step(), end_, settings_);
}

void Run::save() {
  if (saved_ == device_->step()) return;
  device_->save(checkpoint(), identity_of(options_), position_);
  saved_ = device_->step();
}

std::string Run::last_checkpoint() const {
  return saved_ < 0 ? "there is no checkpoint yet"
                    : fmt::format("the last checkpoint is {}, before step {}",
                                  checkpoint().string(), saved_);
}

StepCost Run::cost_of(Index step, double seconds) const {
  const auto tokens = static_cast<double>(batch_tokens(step, settings_.config.schedule));
  StepCost cost{seconds, tokens / seconds, std::nullopt, device_->memory_bytes()};
  if (const std::optional<double> peak = device_->peak_flops()) {
    cost.mfu = flops_per_token(settings_.config) * cost.tokens_per_second / *peak;
  }
  return cost;
}

void Run::step() {
  const Index number = device_->step();
  const auto start = Clock::now();
  const BatchReader::Step batch = reader_->next();
  const StepLosses losses = device_->train_step(batch.sequences);
  position_ = batch.position;
  if (!log_) return;
  const StepCost cost = cost_of(number, seconds_since(start));
  const reference::ScheduleSettings& schedule = settings_.config.schedule;
  const reference::Windows windows = window_schedule(number, schedule);
  log_->add(number, losses, schedule, cost);
  say("step {:>4}  loss {:.4f}{}  rate {:.3f}  T {}  windows {}, {}{}\n", number, losses.next_token,
      floor_words(losses.floor), learning_rate(number, schedule), sequence_length(number, schedule),
      windows.short_tokens, windows.long_tokens, cost_words(cost));
}

// Whether the loop may go on.
bool Run::validate() {
  const Index number = device_->step();
  const auto start = Clock::now();
  const std::vector<ScoredSequence> sequences =
      data_.validation(settings_.validation_sequences, settings_.validation_length);
  validation_ = score_validation(number, device_->validation_losses(sequences), sequences);
  if (!log_) return !validation_->sees_the_future();
  const double seconds = seconds_since(start);
  log_->add(number, *validation_, seconds);
  say("step {:>4}  validation {:.4f}{}  {:.2f} s\n", number, validation_->loss,
      floor_words(validation_->floor), seconds);
  if (!validation_->sees_the_future()) return true;
  fmt::print(stderr,
             "pairedhead: step {}: the model sees the future: its validation loss {:.4f} is {:.1f} "
             "standard errors below {:.4f}, the entropy of the text; {}\n",
             number, validation_->loss,
             (*validation_->floor - validation_->loss) / validation_->standard_error,
             *validation_->floor, last_checkpoint());
  return false;
}

int Run::stopped(const char* signal) {
  save();
  if (!log_) return 2;
  write_page(fmt::format("Stopped before step {}", device_->step()), true);
  fmt::print(stderr, "pairedhead: {}: stopped before step {}, which --resume goes on with: {}\n",
             signal, device_->step(), checkpoint().string());
  return 2;
}

int Run::not_finite(const std::exception& error) const {
  if (log_) fmt::print(stderr, "pairedhead: {}; {}\n", error.what(), last_checkpoint());
  return 1;
}

// The same run with other roundings, for the band that they make; no checkpoint and no validation.
// What a GPU trains, the members train as it is stored there.
void Run::train_member(Index member) {
  TrainerSettings settings = settings_;
  if (options_.device == TrainOn::gpu) settings.storage = reference::Storage::as_defined;
  settings.rounding = Rounding::stochastic(options_.seed + static_cast<std::uint64_t>(member));
  const auto device = make_reference_device(settings);
  device->start(first_parameters(options_));
  BatchReader reader(open_data(options_), 0, end_, settings);
  TrainingLog log(options_.out / fmt::format("member_{}.jsonl", member), 0);
  while (device->step() < end_) {
    const Index number = device->step();
    log.add(number, device->train_step(reader.next().sequences), settings.config.schedule, {});
  }
}

std::vector<TrainingCurve> Run::members() const {
  std::vector<TrainingCurve> curves;
  for (Index member = 1; member <= options_.ensemble; ++member) {
    const fs::path log = options_.out / fmt::format("member_{}.jsonl", member);
    if (fs::exists(log)) curves.push_back(read_training_log(log));
  }
  return curves;
}

// Whether the run lies among its members, where there are enough to tell.
bool Run::lies_within_ensemble() const {
  const std::vector<TrainingCurve> others = members();
  if (others.size() < 3) return true;
  const EnsembleVerdict verdict =
      judge_ensemble(read_training_log(options_.out / "log.jsonl"), others);
  say("ensemble of {}: the loss deviates most at step {}, by {:.3g} standard deviations, limit "
      "{:.3g}\n",
      others.size(), verdict.step, verdict.largest, verdict.limit);
  return verdict.holds();
}

void Run::write_page(const std::string& verdict, bool good) const {
  std::vector<TrainingCurve> curves = {read_training_log(options_.out / "log.jsonl")};
  for (TrainingCurve& member : members()) curves.push_back(std::move(member));
  write_file(
      options_.out / "report.html",
      html_training_report(curves, verdict,
                           fmt::format("configuration {}, {}, seed {}, {}", settings_.config.name,
                                       identity_of(options_).data, options_.seed, device_->words()),
                           good));
}

int Run::train() {
  const StopSignal stop;
  std::optional<Progress> progress;
  if (device_->leads()) {
    log_.emplace(options_.out / "log.jsonl", device_->step());
    progress.emplace(end_, 0, "steps");
    progress->skip(device_->step());
  }
  try {
    while (true) {
      if (validates_at(device_->step(), settings_) && !validate()) {
        if (log_) write_page("The model sees the future", false);
        return 1;
      }
      if (device_->step() == end_) break;
      step();
      if (device_->any(stop.received() != nullptr)) {
        return stopped(stop.received() != nullptr ? stop.received() : "a signal to another rank");
      }
      if (options_.save_every > 0 && device_->step() % options_.save_every == 0) save();
      if (progress) progress->step("training");
    }
    save();
  } catch (const reference::NonFiniteLoss& error) {
    return not_finite(error);
  } catch (const NonFiniteState& error) {
    return not_finite(error);
  }
  if (!log_) return 0;
  for (Index member = 1; member <= options_.ensemble && !stop.received(); ++member) {
    train_member(member);
  }
  if (!lies_within_ensemble()) {
    write_page("The loss leaves the band of its ensemble", false);
    fmt::print(stderr, "pairedhead: the loss leaves the band of its ensemble\n");
    return 1;
  }
  write_page(validation_ && validation_->floor
                 ? fmt::format("{:.3f} nats above the entropy of the text",
                               validation_->loss - *validation_->floor)
                 : fmt::format("Trained to step {}", device_->step()),
             true);
  say("{} steps, checkpoint {}, picture {}\n", device_->step(), checkpoint().string(),
      (options_.out / "report.html").string());
  return 0;
}

}  // namespace

int train(const TrainOptions& options) { return Run(options).train(); }

}  // namespace pairedhead
