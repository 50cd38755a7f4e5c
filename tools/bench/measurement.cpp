#include "tools/bench/measurement.h"

#include <fmt/format.h>

#include <algorithm>

namespace pairedhead {

double Measurement::gigabytes_per_second() const { return work.bytes / milliseconds / 1e6; }

double Measurement::teraflops() const { return work.flops / milliseconds / 1e9; }

double Measurement::floor_milliseconds(const Ceilings& ceilings) const {
  return 1e3 * std::max(work.bytes / ceilings.copy_bytes_per_second,
                        work.flops / (matrix_speed * ceilings.matrix_flops_per_second));
}

double Measurement::share_of_roofline(const Ceilings& ceilings) const {
  return floor_milliseconds(ceilings) / milliseconds;
}

double median(std::vector<double> samples) {
  if (samples.empty()) throw InputError("median: expected at least one sample, got none");
  std::sort(samples.begin(), samples.end());
  const std::size_t middle = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
}

std::string bench_table(const Ceilings& ceilings, const std::vector<Measurement>& measurements) {
  std::string table = fmt::format(
      "{}: copy {:.2f} TB/s (read + written), bf16 8192^3 {:.0f} TFLOP/s\n", ceilings.device,
      ceilings.copy_bytes_per_second / 1e12, ceilings.matrix_flops_per_second / 1e12);
  table += fmt::format("{:<17} {:<32} {:<9} {:>8} {:>7} {:>8} {:>8} {:>9} {:>7} {:>9}\n",
                       "component", "setting", "direction", "ms", "GB/s", "TFLOP/s", "floor ms",
                       "roofline", "peer ms", "ours/peer");
  for (const Measurement& m : measurements) {
    table += fmt::format("{:<17} {:<32} {:<9} {:>8.4f} {:>7.0f} {:>8.1f} {:>8.4f} {:>8.0f}% ",
                         m.component, m.setting, m.direction, m.milliseconds,
                         m.gigabytes_per_second(), m.teraflops(), m.floor_milliseconds(ceilings),
                         100 * m.share_of_roofline(ceilings));
    table += m.peer_milliseconds ? fmt::format("{:>7.3f} {:>9.2f}\n", *m.peer_milliseconds,
                                               m.milliseconds / *m.peer_milliseconds)
                                 : fmt::format("{:>7} {:>9}\n", "-", "-");
  }
  return table;
}

nlohmann::json bench_json(const Ceilings& ceilings, const std::vector<Measurement>& measurements) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Measurement& m : measurements) {
    nlohmann::json row = {{"component", m.component},
                          {"setting", m.setting},
                          {"direction", m.direction},
                          {"ms", m.milliseconds},
                          {"bytes", m.work.bytes},
                          {"flops", m.work.flops},
                          {"gb_per_s", m.gigabytes_per_second()},
                          {"tflop_per_s", m.teraflops()},
                          {"floor_ms", m.floor_milliseconds(ceilings)},
                          {"share_of_roofline", m.share_of_roofline(ceilings)}};
    if (m.peer_milliseconds) row["peer_ms"] = *m.peer_milliseconds;
    rows.push_back(std::move(row));
  }
  return {{"device", ceilings.device},
          {"copy_bytes_per_s", ceilings.copy_bytes_per_second},
          {"matrix_flop_per_s", ceilings.matrix_flops_per_second},
          {"rows", rows}};
}

}  // namespace pairedhead
