#include "tools/train/train_command.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "tools/options/whole_number.h"
#include "tools/train/train.h"

namespace pairedhead {
namespace {

struct Arguments {
  TrainOptions options;
  std::string config, device = "cpu", storage = "exact", head = "fp8";
  std::uint64_t rounding = 0;
  Index scheduled_steps = 0, extension_steps = 0, sequence_tokens = 0;
  Index validation_every = 0, validation_tokens = 0, validation_chunk = 0;
};

bool given(const CLI::App& command, const char* option) { return command.count(option) > 0; }

// One of two words; whether it is the first.
bool is_first(const char* option, const std::string& word, const char* first, const char* second) {
  if (word == first) return true;
  if (word == second) return false;
  throw InputError(fmt::format("{}: expected {} or {}, got \"{}\"", option, first, second, word));
}

// Options that only the other device has.
void refuse_foreign_options(const CLI::App& command, TrainOn device) {
  const bool on_cpu = device == TrainOn::cpu;
  const std::vector<const char*> foreign =
      on_cpu ? std::vector{"--head"} : std::vector{"--ranks", "--storage", "--rounding"};
  for (const char* option : foreign) {
    if (!given(command, option)) continue;
    throw InputError(fmt::format("{}: expected --device {}, got --device {}", option,
                                 on_cpu ? "gpu" : "cpu", on_cpu ? "cpu" : "gpu"));
  }
}

void set_validation_options(const CLI::App& command, const Arguments& arguments,
                            reference::TrainerSettings& settings) {
  set_validation(settings);
  Index tokens = settings.validation_sequences * settings.validation_length;
  if (given(command, "--validation-every")) settings.validation_every = arguments.validation_every;
  if (given(command, "--validation-tokens")) tokens = arguments.validation_tokens;
  if (given(command, "--validation-chunk")) settings.validation_length = arguments.validation_chunk;
  if (tokens % settings.validation_length != 0) {
    throw InputError(fmt::format("--validation-tokens: expected a multiple of {}, got {}",
                                 settings.validation_length, tokens));
  }
  settings.validation_sequences = tokens / settings.validation_length;
}

int run(Arguments arguments, const CLI::App& command) {
  TrainOptions& options = arguments.options;
  options.device =
      is_first("--device", arguments.device, "cpu", "gpu") ? TrainOn::cpu : TrainOn::gpu;
  options.fp8_head = is_first("--head", arguments.head, "fp8", "bf16");
  refuse_foreign_options(command, options.device);
  if (options.device == TrainOn::gpu && options.ensemble > 0 && options.fp8_head) {
    throw InputError("--ensemble: expected --head bf16, which its members have, got --head fp8");
  }
  reference::TrainerSettings& settings = options.settings;
  settings.config = reference::config_named(arguments.config);
  reference::ScheduleSettings& schedule = settings.config.schedule;
  if (given(command, "--scheduled-steps")) schedule.scheduled = arguments.scheduled_steps;
  if (given(command, "--extension-steps")) schedule.extension = arguments.extension_steps;
  if (given(command, "--sequence-tokens")) schedule.sequence.fill(arguments.sequence_tokens);
  settings.storage = is_first("--storage", arguments.storage, "exact", "defined")
                         ? reference::Storage::exact
                         : reference::Storage::as_defined;
  if (given(command, "--rounding")) settings.rounding = Rounding::stochastic(arguments.rounding);
  set_validation_options(command, arguments, settings);
  return train(options);
}

}  // namespace

void add_train_command(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("train", "Train a model: exactly on the CPU, fast on the GPU");
  auto arguments = std::make_shared<Arguments>();
  TrainOptions& options = arguments->options;
  command->add_option("--config", arguments->config, "record, small or tiny")->required();
  command->add_option("--data", options.data, "synthetic, or a pattern of .bin shards")->required();
  command->add_option("--validation", options.validation, "A pattern of .bin shards");
  command->add_flag("--cycle", options.cycle, "Start over where the shards end");
  command->add_option("--device", arguments->device, "cpu or gpu")->capture_default_str();
  command->add_option("--head", arguments->head, "On the GPU: fp8 or bf16, in training")
      ->capture_default_str();
  command
      ->add_option("--out", options.out,
                   "Folder for checkpoint.h5, log.jsonl and report.html; made if absent")
      ->required();
  command->add_flag("--resume", options.resume, "Go on from the checkpoint in the folder");
  command->add_option("--init", options.init, "HDF5 file of initial parameters, or a checkpoint")
      ->excludes(command->get_option("--resume"));
  command
      ->add_option("--save-init", options.save_init,
                   "HDF5 file that gets the initial parameters, for another trainer")
      ->excludes(command->get_option("--resume"));
  command->add_option("--seed", options.seed, "Of the initial parameters and the synthetic text")
      ->capture_default_str()
      ->check(any_seed());
  command
      ->add_option("--scheduled-steps", arguments->scheduled_steps,
                   "Steps of the schedule's three phases, in place of the configuration's")
      ->check(count_from(1));
  command
      ->add_option("--extension-steps", arguments->extension_steps,
                   "Steps behind them at the longest window")
      ->check(count_from(0));
  command
      ->add_option("--sequence-tokens", arguments->sequence_tokens,
                   "Tokens of a forward pass in all phases, in place of the configuration's")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--validation-every", arguments->validation_every,
                   "Steps between validations (0: none)")
      ->check(count_from(0));
  command->add_option("--validation-tokens", arguments->validation_tokens, "Tokens of a validation")
      ->check(count_from(1));
  command
      ->add_option("--validation-chunk", arguments->validation_chunk,
                   "Tokens of one sequence of a validation")
      ->check(count_from(1));
  command->add_option("--steps", options.steps, "Stop before this step (0: at the end)")
      ->capture_default_str()
      ->check(count_from(0));
  command->add_option("--save-every", options.save_every, "Steps between checkpoints")
      ->capture_default_str()
      ->check(count_from(0));
  command->add_option("--ranks", options.settings.ranks, "Ranks to simulate: 1, 2, 4 or 8")
      ->capture_default_str();
  command
      ->add_option("--storage", arguments->storage,
                   "exact: all in double; defined: parameters and moments in the record's types")
      ->capture_default_str();
  command
      ->add_option("--rounding", arguments->rounding,
                   "Seed: round at random where the record stores bf16")
      ->check(any_seed());
  command->add_option("--ensemble", options.ensemble,
                      "Members with such roundings, on the CPU: the band in the picture, and "
                      "from 3 on what the loss is held against");
  command->callback([arguments, command, &exit_code] { exit_code = run(*arguments, *command); });
}

}  // namespace pairedhead
