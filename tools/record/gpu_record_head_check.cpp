#include "tools/record/gpu_record_head_check.h"

#include <fmt/format.h>

#include "tools/census/gpu_head_rows.h"

namespace pairedhead {

RecordedCheck check_record_head() {
  constexpr Index tokens = 49152;
  const gpu::Stream stream;
  RecordHead head(stream, tokens);
  head.all(stream);
  const SampledResult sampled = sampled_head_rows(head);
  return {
      fmt::format("sampled blocks head_fp8 T={}", tokens), sampled.failed == 0,
      sampled.failed == 0
          ? fmt::format("{} rows judged, worst rho_max {:.2f}, rho_row {:.2f}, rho_rms {:.2f}",
                        sampled.rows, sampled.worst.max, sampled.worst.row, sampled.worst.rms)
          : fmt::format("{} of 4 blocks failed, first: {}", sampled.failed, sampled.first_failure)};
}

}  // namespace pairedhead
