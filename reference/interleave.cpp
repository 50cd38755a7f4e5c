#include "reference/interleave.h"

#include <algorithm>

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

void require_pairable(const Shape& shape, Index heads) {
  if (shape.size() != 3 || heads < 2 || heads % 2 != 0) {
    throw InputError("interleave: expected three axes and an even number of heads, got shape " +
                     to_string(shape));
  }
}

}  // namespace

PairedView paired_view(Index heads, Index head_dim, Pairing pairing) {
  if (heads < 2 || heads % 2 != 0) {
    throw InputError("paired view: expected an even number of heads, got " + std::to_string(heads));
  }
  PairedView view{heads * head_dim, 0, 0};
  switch (pairing) {
    case Pairing::strided:
      view.stride_row = heads / 2 * head_dim;
      view.stride_slot = head_dim;
      break;
    case Pairing::adjacent:
      view.stride_row = head_dim;
      view.stride_slot = 2 * head_dim;
      break;
    case Pairing::none:
      throw InputError("paired view: expected pairing strided or adjacent, got none");
  }
  if (mutated(Mutant::interleave_exchanges_strides)) {
    // Each pairing reads with the strides of the other.
    view.stride_row = heads * head_dim / 2 + head_dim - view.stride_row;
    view.stride_slot = 3 * head_dim - view.stride_slot;
  }
  return view;
}

template <class Scalar>
Tensor<Scalar> interleave(const Tensor<Scalar>& x, Pairing pairing) {
  require_pairable(x.shape(), x.shape().size() == 3 ? x.dim(1) : 0);
  const Index tokens = x.dim(0), slots = x.dim(1) / 2, head_dim = x.dim(2);
  const PairedView view = paired_view(x.dim(1), head_dim, pairing);
  Tensor<Scalar> flat({2 * tokens, slots, head_dim});
  for (Index row = 0; row < 2 * tokens; ++row) {
    const Index source = mutated(Mutant::interleave_swaps_rows) ? row ^ 1 : row;
    for (Index slot = 0; slot < slots; ++slot) {
      std::copy_n(x.data() + view.offset(source, slot), head_dim, &flat(row, slot, 0));
    }
  }
  return flat;
}

template <class Scalar>
Tensor<Scalar> deinterleave(const Tensor<Scalar>& flat, Pairing pairing) {
  require_pairable(flat.shape(), flat.shape().size() == 3 ? 2 * flat.dim(1) : 0);
  if (flat.dim(0) % 2 != 0) {
    throw InputError("deinterleave: expected an even number of flat rows, got " +
                     std::to_string(flat.dim(0)));
  }
  const Index rows = flat.dim(0), slots = flat.dim(1), head_dim = flat.dim(2);
  const PairedView view = paired_view(2 * slots, head_dim, pairing);
  Tensor<Scalar> x({rows / 2, 2 * slots, head_dim});
  for (Index row = 0; row < rows; ++row) {
    const Index source = mutated(Mutant::deinterleave_swaps_rows) ? row ^ 1 : row;
    for (Index slot = 0; slot < slots; ++slot) {
      const Index from = mutated(Mutant::deinterleave_reverses_slots) ? slots - 1 - slot : slot;
      std::copy_n(&flat(source, from, 0), head_dim, x.data() + view.offset(row, slot));
    }
  }
  return x;
}

#define INSTANTIATE(Scalar)                                           \
  template Tensor<Scalar> interleave(const Tensor<Scalar>&, Pairing); \
  template Tensor<Scalar> deinterleave(const Tensor<Scalar>&, Pairing);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
