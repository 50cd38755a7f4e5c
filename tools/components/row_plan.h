#pragma once

#include <map>
#include <string>
#include <vector>

#include "reference/scalar.h"
#include "tools/components/component.h"
#include "tools/components/rows.h"

namespace pairedhead {

// Rows whose tensors all follow from a few extents are written as a plan: what goes in, what comes
// out, each with its axes.

struct TensorPlan {
  std::string name;
  // Each a number ("12"), a parameter ("T") or a product of them ("H*D").
  std::vector<std::string> axes;
  DType dtype = DType::bf16;
  // A word of fill.h, or
  //   case     what the parameter `fill` says
  //   scalar   a number of either sign, 0.25 to 1.5
  //   tokens   integers in [0, V)
  //   weights  normal, or ones on the diagonal where the parameter `weights` is "identity"
  std::string fill = "normal";
  // An input that is there only where this parameter is 1; empty: always.
  std::string only_where = {};
};

// The incoming gradient of output y is the input grad_y, normal; every input that is not int32 gets
// a gradient of its own shape and dtype.
struct RowPlan {
  std::string name;
  std::string spec_section;
  std::vector<TensorPlan> inputs;
  std::vector<TensorPlan> outputs;
  std::vector<std::string> moved = {};  // OutputRow::key() of copies, whose bits are compared
  // What the backward pass is given besides the gradients of the outputs, and has no gradient of.
  std::vector<TensorPlan> incoming = {};
};

// The row's names, outputs, inputs, output_shape and work: each tensor moved once, no arithmetic.
Component planned_row(const RowPlan& plan);

// An integer parameter that is at least `least` and a multiple of `step`.
struct Extent {
  std::string name;
  Index least = 1;
  Index step = 1;
};
// The row's check and shrink over these and the parameter `fill`.
void set_extents(Component& component, const std::vector<Extent>& extents);

// Parameters that are 0 or 1: drawn, checked and shrunk beside the row's others.
void add_switches(Component& component, const std::vector<std::string>& names);

// A row over [T, C], C >= 12, and the parameter `fill`, with edges.
Component token_row(const RowPlan& plan);

// "normal" half of the time, else any but "constant".
std::string draw_fill(Random& random);
// How many tokens of `width` elements: 1 to 300, under size * 12000 elements but for the smallest.
Index draw_tokens(Random& random, double size, Index width);

// The inputs of a case as the reference takes them.
template <class Scalar>
class CaseInputs {
 public:
  explicit CaseInputs(const Arrays& arrays) : arrays_(arrays) {}
  Tensor<Scalar> operator()(const std::string& name) const {
    return cast<Scalar>(to_tensor(arrays_.at(name)));
  }
  // An empty tensor where the case has none.
  Tensor<Scalar> optional(const std::string& name) const {
    return arrays_.count(name) > 0 ? (*this)(name) : Tensor<Scalar>();
  }
  Scalar scalar(const std::string& name) const { return Scalar(arrays_.at(name).at(0)); }
  std::vector<Index> indices(const std::string& name) const { return to_indices(arrays_.at(name)); }

 private:
  const Arrays& arrays_;
};

template <class Scalar>
using TensorsOf = std::map<std::string, Tensor<Scalar>>;  // by OutputRow::key()

// A number as the tensor [1] that outputs hold.
template <class Scalar>
Tensor<Scalar> one_value(const Scalar& value) {
  return Tensor<Scalar>({1}, value);
}

// Sets reference and magnitude from one generic function,
// []<class Scalar>(const CaseInputs<Scalar>&, Rounding) -> TensorsOf<Scalar>.
template <class Evaluate>
void evaluate_with(Component& component, Evaluate evaluate) {
  component.reference = [=](const Parameters&, const Arrays& arrays, Rounding rounding) {
    return Values(evaluate(CaseInputs<double>(arrays), rounding));
  };
  component.magnitude = [=](const Parameters&, const Arrays& arrays) {
    return magnitudes(evaluate(CaseInputs<Magnitude>(arrays), Rounding::exact()));
  };
}

}  // namespace pairedhead
