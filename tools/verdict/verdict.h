#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "golden/array.h"
#include "tools/components/component.h"
#include "tools/verdict/error_scale.h"

namespace pairedhead {

enum class Status {
  passed,
  failed,
  untrusted,  // could not have failed, or holds what it should not know; counts as failure
  skipped,    // nothing was run
};
std::string_view name_of(Status status);  // "PASSED" ...

// Errors in units of sigma. An error where sigma is zero, and any value that is not finite, is
// infinite.
struct Ratios {
  double max = 0;  // rho_max: the worst element
  double row = 0;  // rho_row: the rms over the row (innermost axis) that is nearest to its limit
  double rms = 0;  // rho_rms: over the tensor
};
Ratios worst_of(const Ratios& a, const Ratios& b);

// The accepting form is ratio <= limit, so that NaN fails.
struct Limits {
  double max = element_limit;
  double row = element_limit;  // rms_limit of what the row stands for
  double rms = element_limit;  // rms_limit of what the tensor stands for
};

// One element, for a reader who looks for the bug.
struct Element {
  std::vector<Index> indices;
  double got = 0;
  double wanted = 0;
  double sigma = 0;  // 0 where bits are compared
  std::string got_bits, wanted_bits;
  double ratio() const;
};

// What became of one output.
struct TensorVerdict {
  std::string key;  // OutputRow::key()
  Shape shape;
  DType dtype = DType::fp64;
  Status status = Status::passed;
  std::string reason;  // empty when passed
  Ratios ratios;
  Limits limits;
  int draws = noise_draws;       // of the noise that sigma is made of
  Index wrong_elements = 0;      // beyond limits.max, or with other bits
  std::optional<Element> first;  // in memory order, of those that make it fail
  std::optional<Element> worst;
};

// What became of a case: as bad as its worst tensor.
struct Verdict {
  Status status = Status::passed;
  std::string reason;
  std::vector<TensorVerdict> tensors;  // in the row's output order
  Ratios worst;

  bool holds() const { return status == Status::passed || status == Status::skipped; }
  // The first tensor in output order that does not hold; nullptr if all do or none was judged.
  const TensorVerdict* first_divergent() const;
};

// Adds one output's verdict to the case's: the case is as bad as its worst output.
void add_tensor(Verdict& verdict, TensorVerdict tensor);

// y against y* and sigma, the ratios of one output. y*: exact; sigma: same shape. Throws InputError
// on another dtype or shape.
TensorVerdict judge_ratio(const OutputRow& row, const Array& got, const Tensor<double>& exact,
                          const Tensor<double>& scale, const Independence& independence);

// Bit patterns of y against y* rounded to the output's dtype; any NaN for a NaN.
TensorVerdict judge_bitwise(const OutputRow& row, const Array& got, const Tensor<double>& exact);

// The whole case: every output judged, then distrusted (untouched poison, copied inputs, a truth
// that could not have failed). `poison_seed` is what poisoned_outputs was called with; nullopt when
// the outputs come from a file.
Verdict judge(const Component& component, const Parameters& parameters, const Truth& truth,
              const Arrays& inputs, const Arrays& outputs,
              std::optional<std::uint64_t> poison_seed);

// "y[3, 0, 17]: got 0.5, wanted 0.25, sigma 0.001 (bf16, u = 2^-8), 250 sigma off"
std::string describe(const TensorVerdict& tensor, const Element& element);

}  // namespace pairedhead
