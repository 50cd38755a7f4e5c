#pragma once

#include <stdexcept>
#include <string>

#include "reference/dtype.h"
#include "reference/tensor.h"

namespace pairedhead {

// What is to be saved holds something that is no finite number: no run could go on from it, and the
// last checkpoint is worth more.
class NonFiniteState : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws NonFiniteState, naming the step and the first such element.
void require_finite(Index step, const std::string& name, const Tensor<double>& tensor);
// Elements as a device has them, row-major: bf16 or fp32; of other types all are finite.
void require_finite(Index step, const std::string& name, DType dtype, const Shape& shape,
                    const void* elements);

}  // namespace pairedhead
