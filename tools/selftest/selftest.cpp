#include "tools/selftest/selftest.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "gpu/comm/rank_socket.h"
#include "reference/error.h"
#include "tools/report/training_curve.h"
#include "tools/selftest/rank_processes.h"

#ifdef PAIREDHEAD_HAS_CUDA
#include "gpu/device.h"
#endif

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

void require_devices(int ranks) {
#ifdef PAIREDHEAD_HAS_CUDA
  for (int device = 0; device < ranks; ++device) {
    if (const auto reason = gpu::unusable(gpu::probe_device(device))) {
      throw DeviceError(fmt::format("selftest: --ranks {} takes a GPU each: {}", ranks, *reason));
    }
  }
#else
  throw DeviceError(
      fmt::format("selftest: --ranks {}: this program was built without CUDA", ranks));
#endif
}

std::uint16_t free_port() {
  constexpr int first = 29500, last = 29999;
  for (int port = first; port < last; ++port) {
    try {
      gpu::RankSocket::listen(static_cast<std::uint16_t>(port));
      return static_cast<std::uint16_t>(port);
    } catch (const InputError&) {  // taken
    }
  }
  throw InputError(
      fmt::format("selftest: expected a free port from {} to {}, got none", first, last));
}

// A step in four is of the extension.
std::vector<std::string> train_arguments(const SelftestOptions& options, const fs::path& out) {
  const Index extension = options.steps / 4;
  std::vector<std::string> arguments = {"train", "--device", "gpu", "--data", "synthetic"};
  const auto add = [&](const char* name, const std::string& value) {
    arguments.insert(arguments.end(), {name, value});
  };
  add("--config", "tiny");
  add("--head", "bf16");  // the fp8 head's gradients depend on the number of ranks
  add("--scheduled-steps", std::to_string(options.steps - extension));
  add("--extension-steps", std::to_string(extension));
  add("--out", out.string());
  return arguments;
}

// Whether all ranks came to the end.
bool run(const SelftestOptions& options, int ranks, const fs::path& folder) {
  std::error_code error;
  if (!fs::create_directory(folder, error)) {
    throw InputError(fmt::format("{}: expected a folder that can be made, got {}", folder.string(),
                                 error ? error.message() : "one that is there"));
  }
  const std::vector<int> codes =
      run_ranks(ranks, free_port(), train_arguments(options, folder / "run"), folder);
  for (std::size_t rank = 0; rank < codes.size(); ++rank) {
    if (codes[rank] == 0) continue;
    fmt::print(stderr, "pairedhead: selftest: rank {} of {} ended with exit code {}\n", rank, ranks,
               codes[rank]);
  }
  return std::all_of(codes.begin(), codes.end(), [](int code) { return code == 0; });
}

std::string bytes_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

}  // namespace

int selftest(const SelftestOptions& options) {
  require_devices(options.ranks);
  std::error_code error;
  if (!fs::create_directory(options.out, error)) {
    throw InputError(fmt::format("--out: expected a folder that can be made, got {} ({})",
                                 options.out.string(), error ? error.message() : "it is there"));
  }
  const fs::path one = options.out / "one", several = options.out / "several";
  if (!run(options, 1, one) || !run(options, options.ranks, several)) return 1;

  const auto of_one = read_training_log(one / "run/log.jsonl").training;
  const auto of_several = read_training_log(several / "run/log.jsonl").training;
  for (std::size_t step = 0; step < of_one.size() && step < of_several.size(); ++step) {
    if (of_one[step].loss == of_several[step].loss) continue;
    fmt::print("{} ranks: the loss of step {} is {}, on one rank {}\n", options.ranks, step,
               of_several[step].loss, of_one[step].loss);
    return 1;
  }
  const std::string state = bytes_of(one / "run/checkpoint.h5");
  if (of_one.size() != of_several.size() || state != bytes_of(several / "run/checkpoint.h5")) {
    fmt::print("{} ranks: the losses are those of one rank, the state is not: {}, {}\n",
               options.ranks, (several / "run/checkpoint.h5").string(),
               (one / "run/checkpoint.h5").string());
    return 1;
  }
  fmt::print(
      "{} ranks, {} steps of tiny: the losses and {:.1f} MB of state are those of one rank, "
      "bit for bit\n",
      options.ranks, of_one.size(), 1e-6 * static_cast<double>(state.size()));
  return 0;
}

}  // namespace pairedhead
