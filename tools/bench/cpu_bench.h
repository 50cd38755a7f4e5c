#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reference/tensor.h"

namespace pairedhead {

// A whole model, forward and backward, in double on the CPU: medians of warm runs.
struct ModelTiming {
  std::string name;  // who computed, and with what
  double forward_milliseconds = 0, backward_milliseconds = 0;
  double milliseconds() const { return forward_milliseconds + backward_milliseconds; }
};

// Multiplications and additions of one forward pass of the record configuration over `tokens`,
// matrix products only; the backward pass has twice as many.
double record_model_flops(Index tokens);

// The reference in Exact: the record configuration, initial parameters with the zero matrices made
// random, the first `tokens` of a shard, three targets a token (SPEC §3). One run to warm up, then
// `repeats`. Throws InputError where the shard is none or too short.
ModelTiming time_reference_model(const std::string& shard, Index tokens, int repeats);

// What a command answers to one line of JSON, {"shard", "tokens", "repeats"}: {"name",
// "forward_ms", "backward_ms"}. Throws InputError where it says something else, TargetError where
// it ends without an answer.
ModelTiming time_peer_model(const std::string& command, const std::string& shard, Index tokens,
                            int repeats);

// The first timing is ours; the ratio is ours over the other's.
std::string cpu_bench_table(const std::vector<ModelTiming>& timings, Index tokens,
                            double peak_gigabytes);
nlohmann::json cpu_bench_json(const std::vector<ModelTiming>& timings, Index tokens,
                              double peak_gigabytes);

// The most memory that this process has had resident, in units of 1e9 bytes.
double peak_resident_gigabytes();

}  // namespace pairedhead
