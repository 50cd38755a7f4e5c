#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "reference/trainer.h"

namespace pairedhead {

enum class TrainOn { cpu, gpu };

struct TrainOptions {
  reference::TrainerSettings settings;
  TrainOn device = TrainOn::cpu;
  bool fp8_head = true;       // on the GPU; else bf16
  std::string data;           // "synthetic" or a pattern of .bin shards
  std::string validation;     // a pattern; not for synthetic, which has its own
  bool cycle = false;         // start over where the shards end
  std::filesystem::path out;  // gets checkpoint.h5, log.jsonl, report.html
  bool resume = false;
  std::filesystem::path init;       // a file of initial parameters; else drawn from the seed
  std::filesystem::path save_init;  // gets the initial parameters; empty: nowhere
  std::uint64_t seed = 1;
  Index steps = 0;       // stop before this one; 0: at the schedule's end
  Index save_every = 0;  // steps between checkpoints; 0: only where the run ends
  Index ensemble = 0;    // members that repeat the run with rounding, on the CPU, for the band
};

// Trains in double on the CPU or with the kernels on the GPU, and tells what happens, one line a
// step on the console and in the log. Returns the exit code: 0 done, 1 the loss is not finite, the
// model sees the future, or the loss lies outside what its ensemble allows, 2 stopped by a signal,
// after the step was finished and saved. Throws InputError on bad input and DeviceError where the
// device will not do; the last checkpoint then stands as it was.
int train(const TrainOptions& options);

}  // namespace pairedhead
