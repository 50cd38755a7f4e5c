#include "tools/targets/rounded_target.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace pairedhead {
namespace {

// The inputs name the draw, so that a repeated case repeats it; the constant keeps it apart from
// the draws that the error scale is made from.
std::uint64_t draw_seed(const Parameters& parameters, const Arrays& inputs) {
  const std::string text = parameters.text();
  std::uint64_t seed = XXH3_64bits_withSeed(text.data(), text.size(), 0x726f756e646564);
  for (const auto& [name, array] : inputs) {
    seed = XXH3_64bits_withSeed(array.bytes.data(), array.bytes.size(), seed);
  }
  return seed;
}

}  // namespace

void RoundedTarget::run(const Component& component, const Parameters& parameters,
                        const Arrays& inputs, Arrays& outputs) {
  const Values values =
      component.reference(parameters, inputs, Rounding::stochastic(draw_seed(parameters, inputs)));
  for (auto& [key, array] : outputs) array = to_array(values.at(key), array.dtype);
}

}  // namespace pairedhead
