#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/components/component.h"

namespace pairedhead {

// What the machine can do, measured in the same run as everything that is held against it.
struct Ceilings {
  std::string device;
  double copy_bytes_per_second = 0;    // device to device, bytes read plus bytes written
  double matrix_flops_per_second = 0;  // bf16 8192^3 through cuBLAS, random data
};

// One timed call: medians of many warm runs.
struct Measurement {
  std::string component;
  std::string setting;    // "T=16384 paired window=128"
  std::string direction;  // "forward", "backward" or "both"
  double milliseconds = 0;
  Work work;
  std::optional<double> peer_milliseconds;  // where the peer's figure is known
  double matrix_speed = 1;                  // how fast matrix units take its operands; bf16 is 1

  double gigabytes_per_second() const;
  double teraflops() const;  // over visible pairs
  // The time under which no implementation can come on this machine.
  double floor_milliseconds(const Ceilings& ceilings) const;
  // floor / measured, 1 at the roofline.
  double share_of_roofline(const Ceilings& ceilings) const;
};

// The middle of the samples; the mean of the two middle ones where their number is even. Throws
// InputError on no samples.
double median(std::vector<double> samples);

// The table that the console shows.
std::string bench_table(const Ceilings& ceilings, const std::vector<Measurement>& measurements);

nlohmann::json bench_json(const Ceilings& ceilings, const std::vector<Measurement>& measurements);

}  // namespace pairedhead
