#include "tools/train/train_command.h"

#include <memory>

#include "tools/train/train.h"

namespace pairedhead {
namespace {

struct Arguments {
  TrainOptions options;
  std::string config;
  std::string device = "cpu";
  std::string storage = "exact";
  std::uint64_t rounding = 0;
  bool rounded = false;
};

int run(Arguments arguments) {
  if (arguments.device == "gpu") throw DeviceError("--device gpu: there is no GPU trainer yet");
  if (arguments.device != "cpu") {
    throw InputError("--device: expected cpu or gpu, got \"" + arguments.device + "\"");
  }
  reference::TrainerSettings& settings = arguments.options.settings;
  settings.config = reference::config_named(arguments.config);
  if (arguments.storage == "defined") {
    settings.storage = reference::Storage::as_defined;
  } else if (arguments.storage != "exact") {
    throw InputError("--storage: expected exact or defined, got \"" + arguments.storage + "\"");
  }
  if (arguments.rounded) settings.rounding = arguments.rounding;
  set_validation(settings);
  return train(arguments.options);
}

}  // namespace

void add_train_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("train", "Train a model in double, slowly and exactly");
  auto arguments = std::make_shared<Arguments>();
  TrainOptions& options = arguments->options;
  command->add_option("--config", arguments->config, "record, small or tiny")->required();
  command->add_option("--data", options.data, "synthetic, or a pattern of .bin shards")->required();
  command->add_option("--validation", options.validation, "A pattern of .bin shards");
  command->add_flag("--cycle", options.cycle, "Start over where the shards end");
  command->add_option("--device", arguments->device, "cpu or gpu")->capture_default_str();
  command
      ->add_option("--out", options.out,
                   "Folder for checkpoint.h5, log.jsonl and report.html; made if absent")
      ->required();
  command->add_flag("--resume", options.resume, "Go on from the checkpoint in the folder");
  command->add_option("--weights", options.weights, "HDF5 file of initial parameters")
      ->excludes(command->get_option("--resume"));
  command->add_option("--seed", options.seed, "Of the initial parameters and the synthetic text")
      ->capture_default_str();
  command->add_option("--steps", options.steps, "Stop before this step (0: at the end)")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--save-every", options.save_every, "Steps between checkpoints")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--ranks", options.settings.ranks, "Ranks to simulate: 1, 2, 4 or 8")
      ->capture_default_str();
  command
      ->add_option("--storage", arguments->storage,
                   "exact: all in double; defined: parameters and moments in the record's types")
      ->capture_default_str();
  command->add_option("--rounding", arguments->rounding,
                      "Seed: round at random where the record stores bf16");
  command->add_option("--ensemble", options.ensemble,
                      "Members with such roundings, for the band in the picture");
  command->callback([arguments, command, &exit_code] {
    arguments->rounded = command->count("--rounding") > 0;
    exit_code = run(*arguments);
  });
}

}  // namespace pairedhead
