#pragma once

#include <functional>
#include <vector>

#include "tools/record/verification_record.h"

namespace pairedhead {

struct ShapeCheckOptions {
  std::uint64_t seed = 1;
  Index sampled_tokens = 3;
  std::function<void(const RecordedCheck&)> on_check;  // after each, for the console
};

// What only full size can show, on the target, at the nine attention shapes of the record
// (tools/components/record_shapes.h): the exhaustive mask census, and sampled rows judged by the
// reference. Two checks a shape.
std::vector<RecordedCheck> check_record_shapes(Target& target, const ShapeCheckOptions& options);

}  // namespace pairedhead
