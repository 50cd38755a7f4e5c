#include "tools/verify/run_case.h"

#include <fmt/format.h>

#include "tools/verdict/poison.h"
#include "tools/verdict/second_opinion.h"

namespace pairedhead {
namespace {

Verdict failed(const std::string& reason) {
  Verdict verdict;
  verdict.status = Status::failed;
  verdict.reason = reason;
  return verdict;
}

// How the buffers that came back differ in form from those that were handed over.
std::optional<std::string> wrong_form(const Component& component, const Truth& truth,
                                      const Arrays& outputs) {
  for (const OutputRow& row : component.outputs) {
    const auto found = outputs.find(row.key());
    if (found == outputs.end()) return fmt::format("{}: the target gave none", row.key());
    const Array& got = found->second;
    const Shape& shape = truth.exact.at(row.key()).shape();
    if (got.dtype != row.dtype) {
      return fmt::format("{}: expected dtype {}, got {}", row.key(), name_of(row.dtype),
                         name_of(got.dtype));
    }
    if (got.shape != shape ||
        got.bytes.size() != static_cast<std::size_t>(got.size()) * size_of(got.dtype)) {
      return fmt::format("{}: expected shape {}, got {}", row.key(), to_string(shape),
                         to_string(got.shape));
    }
  }
  return std::nullopt;
}

bool same_bits(const Arrays& a, const Arrays& b) {
  for (const auto& [key, array] : a) {
    const auto found = b.find(key);
    if (found == b.end() || found->second.bytes != array.bytes) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> CaseRunner::call(const PlannedCase& planned, const Arrays& inputs,
                                            Arrays& outputs) {
  const std::lock_guard lock(one_at_a_time_);
  try {
    target_.run(component_, planned.parameters, inputs, outputs);
  } catch (const DeviceError&) {
    throw;
  } catch (const TargetError&) {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  }
  return std::nullopt;
}

CaseResult CaseRunner::run(const PlannedCase& planned, bool twice) {
  component_.check(planned.parameters);
  const Arrays inputs = component_.inputs(planned.parameters, planned.seed);
  const Truth truth = truth_before_stages(component_, planned.parameters, inputs, planned.seed);

  CaseResult result;
  result.planned = planned;
  for (int attempt = 0; attempt < (twice ? 2 : 1); ++attempt) {
    const std::uint64_t poison = planned.seed + static_cast<std::uint64_t>(attempt);
    Arrays outputs = poisoned_outputs(component_, truth.exact, poison);
    auto complaint = call(planned, inputs, outputs);
    if (!complaint) complaint = wrong_form(component_, truth, outputs);
    if (complaint) {
      result.verdict = failed(*complaint);
      return result;
    }
    Verdict verdict =
        judge(component_, planned.parameters,
              truth_of_stages(component_, planned.parameters, inputs, planned.seed, truth, outputs),
              inputs, outputs, poison);
    verdict = second_opinion(std::move(verdict), component_, planned.parameters, inputs,
                             planned.seed, outputs, poison);
    if (attempt == 0) {
      result.verdict = std::move(verdict);
      result.outputs = std::move(outputs);
      if (!result.verdict.holds()) return result;
    } else {
      result.repeatable = same_bits(result.outputs, outputs);
      if (!verdict.holds()) {
        verdict.reason += " (in a second call, on buffers that held something else)";
        result.verdict = std::move(verdict);
        result.outputs = std::move(outputs);
      }
    }
  }
  return result;
}

}  // namespace pairedhead
