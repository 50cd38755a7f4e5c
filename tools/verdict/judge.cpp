#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tools/verdict/poison.h"
#include "tools/verdict/verdict.h"

namespace pairedhead {
namespace {

std::vector<Index> indices_of(Index i, const Shape& shape) {
  std::vector<Index> indices(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    indices[axis] = i % shape[axis];
    i /= shape[axis];
  }
  return indices;
}

std::string bits_of(const Array& array, Index i) {
  const std::size_t width = size_of(array.dtype);
  std::uint64_t bits = 0;
  std::memcpy(&bits, array.bytes.data() + static_cast<std::size_t>(i) * width, width);
  return fmt::format("0x{:0{}x}", bits, 2 * width);
}

TensorVerdict blank(const OutputRow& row, const Array& got, const Tensor<double>& exact) {
  if (got.dtype != row.dtype) {
    throw InputError(fmt::format("{}: expected dtype {}, got {}", row.key(), name_of(row.dtype),
                                 name_of(got.dtype)));
  }
  if (got.shape != exact.shape()) {
    throw InputError(fmt::format("{}: expected shape {}, got {}", row.key(),
                                 to_string(exact.shape()), to_string(got.shape)));
  }
  TensorVerdict verdict;
  verdict.key = row.key();
  verdict.shape = got.shape;
  verdict.dtype = row.dtype;
  return verdict;
}

void fail(TensorVerdict& verdict, std::string reason) {
  verdict.status = Status::failed;
  verdict.reason = std::move(reason);
}

std::optional<Index> first_not_finite(const Tensor<double>& tensor) {
  for (Index i = 0; i < tensor.size(); ++i) {
    if (!std::isfinite(tensor[i])) return i;
  }
  return std::nullopt;
}

// Why a ratio row's truth could not have told right from wrong.
std::optional<std::string> why_trivial(const Tensor<double>& exact) {
  const auto values = exact.values();
  if (values.empty()) return "the reference's value has no elements";
  const bool constant =
      std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
  if (constant && values[0] == 0) return "the reference's value is zero everywhere";
  if (constant && values.size() > 1) return "the reference's value is the same everywhere";
  return std::nullopt;
}

// The input whose bits an output repeats, although the truth does not.
std::optional<std::string> copied_input(const Array& got, const Tensor<double>& exact,
                                        const Arrays& inputs) {
  for (const auto& [name, input] : inputs) {
    if (input.dtype != got.dtype || input.bytes.empty() || input.bytes != got.bytes) continue;
    if (to_array(exact, got.dtype).bytes != got.bytes) return name;
  }
  return std::nullopt;
}

void distrust(const OutputRow& row, bool may_be_trivial, const Array& got,
              const Tensor<double>& exact, const Arrays& inputs,
              std::optional<std::uint64_t> poison_of_row, TensorVerdict& verdict) {
  const auto copy = copied_input(got, exact, inputs);
  Index untouched = 0;
  if (poison_of_row) {
    // An integer or a byte may by chance be what the poison was: only a wrong one counts as
    // untouched.
    const bool by_chance = unit_roundoff(row.dtype) == 0 || size_of(row.dtype) == 1;
    for (Index i = 0; i < got.size(); ++i) {
      const double value = got.at(i);
      const bool right = value == exact[i] || (std::isnan(value) && std::isnan(exact[i]));
      if (is_poison(got, i, *poison_of_row) && !(by_chance && right)) ++untouched;
    }
  }
  if (untouched > 0) {
    fail(verdict, fmt::format("{} of {} elements were never written", untouched, got.size()));
  } else if (copy && verdict.status == Status::failed) {
    verdict.reason += fmt::format("; it repeats the input {} bit by bit", *copy);
  } else if (copy && !may_be_trivial) {
    verdict.status = Status::untrusted;
    verdict.reason =
        fmt::format("it repeats the input {} bit by bit, the reference does not", *copy);
  } else if (verdict.status == Status::passed && !may_be_trivial) {
    if (const auto trivial = why_trivial(exact)) {
      verdict.status = Status::untrusted;
      verdict.reason = *trivial + ", so this case could not have failed";
    }
  }
}

}  // namespace

TensorVerdict judge_ratio(const OutputRow& row, const Array& got, const Tensor<double>& exact,
                          const Tensor<double>& scale, const Independence& independence) {
  TensorVerdict verdict = blank(row, got, exact);
  require_shape(("scale of " + row.key()).c_str(), scale, exact.shape());
  if (const auto bad = first_not_finite(exact)) {
    verdict.ratios.max = verdict.ratios.row = verdict.ratios.rms =
        std::numeric_limits<double>::infinity();
    fail(verdict, fmt::format("the reference is not finite (element {})", *bad));
    return verdict;
  }

  const auto element = [&](Index i) {
    return Element{indices_of(i, got.shape), got.at(i), exact[i], scale[i], "", ""};
  };
  const Index width = row_width(got.shape);
  Index worst = -1, first = -1, bad_row_worst = -1;
  double total = 0;
  bool finite = true;
  for (Index begin = 0; begin < got.size(); begin += width) {
    double sum = 0, row_max = -1;
    Index row_worst = begin;
    for (Index i = begin; i < begin + width; ++i) {
      const double value = got.at(i);
      finite = finite && std::isfinite(value);
      const double ratio = Element{{}, value, exact[i], scale[i], "", ""}.ratio();
      sum += ratio * ratio;
      if (ratio > row_max) {
        row_max = ratio;
        row_worst = i;
      }
      if (worst < 0 || ratio > verdict.ratios.max) {
        verdict.ratios.max = ratio;
        worst = i;
      }
      if (!(ratio <= verdict.limits.max)) {
        ++verdict.wrong_elements;
        if (first < 0) first = i;
      }
    }
    total += sum;
    const double row_rms = std::sqrt(sum / static_cast<double>(width));
    const double limit = rms_limit(independence.rows.at(static_cast<std::size_t>(begin / width)));
    if (begin == 0 || row_rms * verdict.limits.row > verdict.ratios.row * limit) {
      verdict.ratios.row = row_rms;
      verdict.limits.row = limit;
    }
    if (bad_row_worst < 0 && !(row_rms <= limit)) bad_row_worst = row_worst;
  }
  if (got.size() > 0) {
    verdict.ratios.rms = std::sqrt(total / static_cast<double>(got.size()));
    verdict.limits.rms = rms_limit(independence.tensor);
    verdict.worst = element(worst);
  }

  const auto [max, row_rms, rms] = verdict.ratios;
  const Limits& limits = verdict.limits;
  if (!finite) {
    fail(verdict, fmt::format("{} elements are wrong, some not finite", verdict.wrong_elements));
  } else if (!(max <= limits.max)) {
    fail(verdict, fmt::format("rho_max {:.3g} > {:.3g}, {} of {} elements are wrong", max,
                              limits.max, verdict.wrong_elements, got.size()));
  } else if (!(row_rms <= limits.row)) {
    fail(verdict, fmt::format("rho_row {:.3g} > {:.3g}", row_rms, limits.row));
  } else if (!(rms <= limits.rms)) {
    fail(verdict, fmt::format("rho_rms {:.3g} > {:.3g}", rms, limits.rms));
  }
  if (verdict.status != Status::passed) {
    if (first < 0) first = bad_row_worst < 0 ? worst : bad_row_worst;
    verdict.first = element(first);
  }
  return verdict;
}

TensorVerdict judge_bitwise(const OutputRow& row, const Array& got, const Tensor<double>& exact) {
  TensorVerdict verdict = blank(row, got, exact);
  if (const auto bad = first_not_finite(exact); bad && !row.may_be_nan) {
    fail(verdict, fmt::format("the reference is not finite (element {})", *bad));
    return verdict;
  }
  const Array wanted = to_array(exact, row.dtype);
  const std::size_t width = size_of(row.dtype);
  for (Index i = 0; i < got.size(); ++i) {
    const std::size_t at = static_cast<std::size_t>(i) * width;
    if (std::memcmp(got.bytes.data() + at, wanted.bytes.data() + at, width) == 0) continue;
    if (std::isnan(exact[i]) && std::isnan(got.at(i))) continue;
    if (verdict.wrong_elements++ > 0) continue;
    verdict.first = Element{indices_of(i, got.shape), got.at(i),         wanted.at(i), 0,
                            bits_of(got, i),          bits_of(wanted, i)};
  }
  if (verdict.wrong_elements > 0) {
    verdict.worst = verdict.first;
    verdict.ratios.max = verdict.ratios.row = verdict.ratios.rms =
        std::numeric_limits<double>::infinity();
    fail(verdict,
         fmt::format("{} of {} elements have other bits", verdict.wrong_elements, got.size()));
  }
  return verdict;
}

Verdict judge(const Component& component, const Parameters& parameters, const Truth& truth,
              const Arrays& inputs, const Arrays& outputs, std::optional<std::uint64_t> poison) {
  Verdict verdict;
  for (std::size_t n = 0; n < component.outputs.size(); ++n) {
    const OutputRow& row = component.outputs[n];
    const auto found = outputs.find(row.key());
    if (found == outputs.end()) {
      throw InputError(
          fmt::format("component {}: expected an output {}, got none", component.name, row.key()));
    }
    const Array& got = found->second;
    const Tensor<double>& exact = truth.exact.at(row.key());
    TensorVerdict tensor = component.compares_bits(row)
                               ? judge_bitwise(row, got, exact)
                               : judge_ratio(row, got, exact, truth.scale.at(row.key()),
                                             truth.independence.at(row.key()));
    tensor.draws = truth.draws;
    std::optional<std::uint64_t> poison_of_row;
    if (poison) poison_of_row = poison_seed(*poison, n);
    const bool may_be_trivial = component.compares_bits(row) || row.may_be_trivial ||
                                (component.trivial && component.trivial(parameters, row));
    distrust(row, may_be_trivial, got, exact, inputs, poison_of_row, tensor);

    add_tensor(verdict, std::move(tensor));
  }
  return verdict;
}

}  // namespace pairedhead
