#include "tools/verdict/poison.h"

#include <cstring>

namespace pairedhead {
namespace {

// A payload of `width` bits that is neither all zeros nor all ones: those two are what hardware
// produces by itself.
std::uint64_t payload(std::uint64_t bits, int width) {
  const std::uint64_t all_ones = (std::uint64_t{1} << width) - 1;
  return 1 + bits % (all_ones - 1);
}

// The bit pattern of element i, in the low bytes.
std::uint64_t pattern(DType dtype, Index i, std::uint64_t seed) {
  std::uint64_t state = seed + static_cast<std::uint64_t>(i) * 0xd1342543de82ef95ull;
  const std::uint64_t bits = splitmix64(state);
  switch (dtype) {
    case DType::bf16:
      return 0x7fc0u | payload(bits, 6);
    case DType::fp32:
      return 0x7fc00000u | payload(bits, 22);
    case DType::fp64:
      return 0x7ff8000000000000ull | payload(bits, 51);
    case DType::int32:
    case DType::uint16:
    case DType::e4m3:  // whose NaNs have no payload, or one of a bit
    case DType::e5m2:
      return bits;
  }
  return bits;
}

}  // namespace

void poison(Array& array, std::uint64_t seed) {
  const std::size_t width = size_of(array.dtype);
#pragma omp parallel for if (array.size() > 1 << 20)
  for (Index i = 0; i < array.size(); ++i) {
    const std::uint64_t bits = pattern(array.dtype, i, seed);
    std::memcpy(array.bytes.data() + static_cast<std::size_t>(i) * width, &bits, width);
  }
}

bool is_poison(const Array& array, Index i, std::uint64_t seed) {
  const std::size_t width = size_of(array.dtype);
  const std::uint64_t bits = pattern(array.dtype, i, seed);
  return std::memcmp(array.bytes.data() + static_cast<std::size_t>(i) * width, &bits, width) == 0;
}

std::uint64_t poison_seed(std::uint64_t seed, std::size_t output) {
  return Random(seed).split(0x706f69736f6eull + output).bits();
}

Arrays poisoned_outputs(const Component& component, const Parameters& parameters,
                        std::uint64_t seed) {
  Arrays outputs;
  for (std::size_t n = 0; n < component.outputs.size(); ++n) {
    const OutputRow& row = component.outputs[n];
    Array array(row.dtype, component.output_shape(parameters, row));
    poison(array, poison_seed(seed, n));
    outputs.emplace(row.key(), std::move(array));
  }
  return outputs;
}

Arrays poisoned_outputs(const Component& component, const Values& exact, std::uint64_t seed) {
  Arrays outputs;
  for (std::size_t n = 0; n < component.outputs.size(); ++n) {
    const OutputRow& row = component.outputs[n];
    Array array(row.dtype, exact.at(row.key()).shape());
    poison(array, poison_seed(seed, n));
    outputs.emplace(row.key(), std::move(array));
  }
  return outputs;
}

}  // namespace pairedhead
