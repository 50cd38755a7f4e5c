#include "reference/key_shift.h"

#include <algorithm>

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

template <class Scalar>
void require_shiftable(const char* what, const Tensor<Scalar>& tensor) {
  require_heads(what, tensor);
  if (tensor.dim(2) % 8 != 0) {
    throw InputError(std::string(what) + ": expected a head width that is a multiple of 8, got " +
                     std::to_string(tensor.dim(2)));
  }
}

}  // namespace

bool is_shifted_channel(Index channel, Index head_dim) {
  if (mutated(Mutant::shift_upper_half_channels)) return channel >= head_dim / 2;
  return (channel / (head_dim / 4)) % 2 == 1;
}

template <class Scalar>
Tensor<Scalar> key_shift(const Tensor<Scalar>& key) {
  require_shiftable("key", key);
  const Index tokens = key.dim(0), heads = key.dim(1), head_dim = key.dim(2);
  Tensor<Scalar> shifted = key;
  for (Index t = 0; t < tokens; ++t) {
    Index source = std::max<Index>(t - 1, 0);
    if (mutated(Mutant::shift_propagates_first_row)) source = 0;
    if (mutated(Mutant::shift_from_next_token)) source = std::min(t + 1, tokens - 1);
    for (Index h = 0; h < heads; ++h) {
      for (Index d = 0; d < head_dim; ++d) {
        if (!is_shifted_channel(d, head_dim)) continue;
        shifted(t, h, d) = key(source, h, d);
        if (t == 0 && mutated(Mutant::shift_zeroes_first_row)) shifted(t, h, d) = Scalar(0);
      }
    }
  }
  return shifted;
}

template <class Scalar>
Tensor<Scalar> key_shift_backward(const Tensor<Scalar>& grad_shifted) {
  require_shiftable("grad_key", grad_shifted);
  const Index tokens = grad_shifted.dim(0), heads = grad_shifted.dim(1);
  const Index head_dim = grad_shifted.dim(2);
  Tensor<Scalar> grad = grad_shifted;
  for (Index t = 0; t < tokens; ++t) {
    for (Index h = 0; h < heads; ++h) {
      for (Index d = 0; d < head_dim; ++d) {
        if (!is_shifted_channel(d, head_dim)) continue;
        Scalar sum(0);
        if (t == 0 && !mutated(Mutant::shift_adjoint_loses_first_row)) {
          sum += grad_shifted(0, h, d);
        }
        if (t + 1 < tokens) sum += grad_shifted(t + 1, h, d);
        if (t + 1 == tokens && t > 0 && mutated(Mutant::shift_adjoint_keeps_last_row)) {
          sum += grad_shifted(t, h, d);
        }
        grad(t, h, d) = sum;
      }
    }
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                 \
  template Tensor<Scalar> key_shift(const Tensor<Scalar>&); \
  template Tensor<Scalar> key_shift_backward(const Tensor<Scalar>&);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
