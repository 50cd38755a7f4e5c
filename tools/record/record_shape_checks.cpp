#include "tools/record/record_shape_checks.h"

#include <fmt/format.h>

#include "tools/census/mask_census.h"
#include "tools/census/sampled_rows.h"
#include "tools/components/record_shapes.h"

namespace pairedhead {

std::vector<RecordedCheck> check_record_shapes(Target& target, const ShapeCheckOptions& options) {
  std::vector<RecordedCheck> checks;
  const auto add = [&](RecordedCheck check) {
    if (options.on_check) options.on_check(check);
    checks.push_back(std::move(check));
  };
  for (const RecordShape& shape : record_shapes()) {
    const Component& component = component_named(shape.component());
    const Parameters parameters =
        record_parameters(shape, typical_documents(shape.tokens, options.seed));
    const CensusResult census = mask_census(target, component, parameters);
    add({"mask census " + shape.name(), census.wrong == 0,
         census.wrong == 0 ? fmt::format("{} rows counted, all right", census.rows)
                           : fmt::format("{} of {} rows wrong, first: {}", census.wrong,
                                         census.rows, census.first_wrong)});
    const SampledResult sampled =
        sampled_rows(target, component, parameters, options.seed, options.sampled_tokens);
    add({"sampled rows " + shape.name(), sampled.failed == 0,
         sampled.failed == 0
             ? fmt::format("{} rows judged, worst rho_max {:.2f}, rho_row {:.2f}, rho_rms {:.2f}",
                           sampled.rows, sampled.worst.max, sampled.worst.row, sampled.worst.rms)
             : fmt::format("{} tensors of {} rows failed, first: {}", sampled.failed, sampled.rows,
                           sampled.first_failure)});
  }
  return checks;
}

}  // namespace pairedhead
