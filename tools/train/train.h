#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "reference/trainer.h"

namespace pairedhead {

struct TrainOptions {
  reference::TrainerSettings settings;
  std::string data;           // "synthetic" or a pattern of .bin shards
  std::string validation;     // a pattern; not for synthetic, which has its own
  bool cycle = false;         // start over where the shards end
  std::filesystem::path out;  // gets checkpoint.h5, log.jsonl, report.html
  bool resume = false;
  std::string weights;  // a file of initial parameters; else drawn from the seed
  std::uint64_t seed = 1;
  Index steps = 0;       // stop before this one; 0: at the schedule's end
  Index save_every = 0;  // steps between checkpoints; 0: only where the run ends
  Index ensemble = 0;    // members that repeat the run with rounding, for the picture's band
};

// Trains on the CPU in double and tells what happens, one line a step on the console and in the
// log. Returns the exit code: 0 done, 1 the loss is not finite or the model sees the future, 2
// stopped by a signal, after the step was finished and saved. Throws InputError on bad input; the
// last checkpoint then stands as it was.
int train(const TrainOptions& options);

}  // namespace pairedhead
