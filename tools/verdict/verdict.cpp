#include "tools/verdict/verdict.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pairedhead {
namespace {

int severity(Status status) {
  switch (status) {
    case Status::failed:
      return 3;
    case Status::untrusted:
      return 2;
    case Status::passed:
      return 1;
    case Status::skipped:
      return 0;
  }
  return 3;
}

}  // namespace

std::string_view name_of(Status status) {
  switch (status) {
    case Status::passed:
      return "PASSED";
    case Status::failed:
      return "FAILED";
    case Status::untrusted:
      return "UNTRUSTED";
    case Status::skipped:
      return "SKIPPED";
  }
  return "?";
}

Ratios worst_of(const Ratios& a, const Ratios& b) {
  return {std::max(a.max, b.max), std::max(a.row, b.row), std::max(a.rms, b.rms)};
}

double Element::ratio() const {
  const double error = std::abs(got - wanted);
  if (error == 0) return 0;
  const double ratio = error / sigma;
  return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
}

const TensorVerdict* Verdict::first_divergent() const {
  for (const TensorVerdict& tensor : tensors) {
    if (tensor.status != Status::passed) return &tensor;
  }
  return nullptr;
}

void add_tensor(Verdict& verdict, TensorVerdict tensor) {
  verdict.worst = worst_of(verdict.worst, tensor.ratios);
  if (severity(tensor.status) > severity(verdict.status)) {
    verdict.status = tensor.status;
    verdict.reason = tensor.reason.empty() ? "" : tensor.key + ": " + tensor.reason;
  }
  verdict.tensors.push_back(std::move(tensor));
}

std::string describe(const TensorVerdict& tensor, const Element& element) {
  const std::string name = tensor.key.substr(tensor.key.find('/') + 1);
  const std::string gradient = tensor.key.starts_with("grads/") ? "grad of " : "";
  const std::string where =
      fmt::format("{}{}[{}]", gradient, name, fmt::join(element.indices, ", "));
  if (!element.got_bits.empty()) {
    return fmt::format("{}: got {:.9g} ({}), wanted {:.9g} ({}), {} compared bit by bit", where,
                       element.got, element.got_bits, element.wanted, element.wanted_bits,
                       name_of(tensor.dtype));
  }
  const double roundoff = unit_roundoff(tensor.dtype);
  const std::string model =
      roundoff == 0 ? std::string(name_of(tensor.dtype))
                    : fmt::format("{}, u = 2^{}", name_of(tensor.dtype), std::ilogb(roundoff));
  return fmt::format("{}: got {:.9g}, wanted {:.9g}, sigma {:.3g} ({}, {} draws), {:.3g} sigma off",
                     where, element.got, element.wanted, element.sigma, model, tensor.draws,
                     element.ratio());
}

}  // namespace pairedhead
