#include "reference/optim/cautious_split.h"

#include <bit>
#include <cmath>

#include "reference/mutant.h"
#include "reference/optim/single.h"

namespace pairedhead::reference {
namespace {

template <class Number>
bool keeps(const Number& direction, const Number& parameter) {
  const Number product = direction * parameter, zero(0.0);
  if (mutated(Mutant::split_mask_strict)) return product > zero;
  if (mutated(Mutant::split_mask_opposite)) return zero >= product;
  return product >= zero;
}

// A plain rounding of the upper half, which leaves the lower half pointing the wrong way.
SplitFloat round_upper_half(std::uint32_t bits) {
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<std::uint16_t>(rounded >> 16), static_cast<std::uint16_t>(bits)};
}

}  // namespace

SplitFloat split(float value) {
  if (std::isnan(value)) return {0x7fff, 0xffff};
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (mutated(Mutant::split_rounds_to_nearest)) return round_upper_half(bits);
  return {static_cast<std::uint16_t>(bits >> 16), static_cast<std::uint16_t>(bits)};
}

float join(SplitFloat parameter) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(parameter.high) << 16 | parameter.low);
}

template <class Number>
Number cautious_update(const Number& z, const Number& o, const Number& rate, const Number& decay) {
  const Number step = o * rate;
  const bool kept = mutated(Mutant::split_mask_after_update) ? keeps(o, z - step) : keeps(o, z);
  const Number keep(static_cast<double>(kept));
  Number decayed = ((z * keep) * decay) * rate;
  if (mutated(Mutant::split_decay_without_rate)) decayed = (z * keep) * decay;
  return (z - decayed) - step;
}
template Single cautious_update(const Single&, const Single&, const Single&, const Single&);
template double cautious_update(const double&, const double&, const double&, const double&);

void cautious_update(Tensor<double>& parameter, const Tensor<double>& direction,
                     double learning_rate, double weight_decay) {
  require_shape("direction", direction, parameter.shape());
  for (Index i = 0; i < parameter.size(); ++i) {
    parameter[i] = cautious_update(parameter[i], direction[i], learning_rate, weight_decay);
  }
}

SplitFloat cautious_split_update(SplitFloat parameter, float direction, float learning_rate,
                                 float weight_decay) {
  if (mutated(Mutant::split_mantissa_unread)) parameter.low = 0;
  return split(
      cautious_update<Single>(join(parameter), direction, learning_rate, weight_decay).get());
}

}  // namespace pairedhead::reference
