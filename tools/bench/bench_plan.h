#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/components/component.h"

namespace pairedhead {

// One setting to be timed, forward and backward.
struct BenchSetting {
  std::string component;
  std::string setting;  // as the table shows it
  Parameters parameters;
  std::optional<double> peer_forward_ms, peer_backward_ms;
};

// The record's shapes: attention with typical document lengths (and, where a shard is named, with
// that shard's as the packer makes them), qk_prepare in the three phases, plain and paired, the
// rotary tables, the kernels of the trunk, a layer's products and gates, and both optimizers over
// all parameters. `components` restricts it; empty means all. Throws InputError on a component that
// is not timed, and what the shard reader and packer throw.
std::vector<BenchSetting> bench_plan(const std::vector<std::string>& components,
                                     const std::string& shard);

}  // namespace pairedhead
