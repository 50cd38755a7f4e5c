#include "tools/train/finite_state.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "golden/hdf5_file.h"

namespace pairedhead {
namespace {

[[noreturn]] void refuse(Index step, const std::string& name, Index element, const Shape& shape) {
  throw NonFiniteState(fmt::format("step {}: {}{}: expected a finite value to save, got none", step,
                                   name, hdf5::position(element, shape)));
}

// A number is infinite or none where all bits of its exponent are set.
template <class Bits>
void require_exponents(Index step, const std::string& name, const Shape& shape, const void* data,
                       Bits exponent) {
  const auto* const bits = static_cast<const Bits*>(data);
  const Index count = element_count(shape);
  bool finite = true;  // without a way out of the loop it is one of vectors
  for (Index i = 0; i < count; ++i) finite &= (bits[i] & exponent) != exponent;
  for (Index i = 0; !finite; ++i) {
    if ((bits[i] & exponent) == exponent) refuse(step, name, i, shape);
  }
}

}  // namespace

void require_finite(Index step, const std::string& name, const Tensor<double>& tensor) {
  for (Index i = 0; i < tensor.size(); ++i) {
    if (!std::isfinite(tensor[i])) refuse(step, name, i, tensor.shape());
  }
}

void require_finite(Index step, const std::string& name, DType dtype, const Shape& shape,
                    const void* elements) {
  if (dtype == DType::bf16) {
    require_exponents<std::uint16_t>(step, name, shape, elements, 0x7f80);
  } else if (dtype == DType::fp32) {
    require_exponents<std::uint32_t>(step, name, shape, elements, 0x7f800000);
  }
}

}  // namespace pairedhead
