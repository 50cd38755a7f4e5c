#include "golden/array.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "reference/fp8.h"

namespace pairedhead {

Array::Array(DType dtype_in, Shape shape_in) : dtype(dtype_in), shape(std::move(shape_in)) {
  bytes.resize(static_cast<std::size_t>(size()) * size_of(dtype));
}

double Array::at(Index i) const {
  switch (dtype) {
    case DType::bf16:
      return from_bf16_bits(as<std::uint16_t>()[i]);
    case DType::fp32:
      return static_cast<double>(as<float>()[i]);
    case DType::fp64:
      return as<double>()[i];
    case DType::int32:
      return as<std::int32_t>()[i];
    case DType::uint16:
      return as<std::uint16_t>()[i];
    case DType::e4m3:
    case DType::e5m2:
      return from_fp8_bits(dtype, as<std::uint8_t>()[i]);
  }
  return NAN;
}

void Array::set(Index i, double value) {
  switch (dtype) {
    case DType::bf16:
      as<std::uint16_t>()[i] = to_bf16_bits(value);
      return;
    case DType::fp32:
      as<float>()[i] = static_cast<float>(value);
      return;
    case DType::fp64:
      as<double>()[i] = value;
      return;
    case DType::int32:
      as<std::int32_t>()[i] = static_cast<std::int32_t>(std::lrint(value));
      return;
    case DType::uint16:
      as<std::uint16_t>()[i] = static_cast<std::uint16_t>(std::lrint(value));
      return;
    case DType::e4m3:
    case DType::e5m2:
      as<std::uint8_t>()[i] = to_fp8_bits(dtype, value);
      return;
  }
}

Array to_array(const Tensor<double>& tensor, DType dtype) {
  Array array(dtype, tensor.shape());
  for (Index i = 0; i < tensor.size(); ++i) array.set(i, tensor[i]);
  return array;
}

Tensor<double> to_tensor(const Array& array) {
  Tensor<double> tensor(array.shape);
  // The types of nearly all arrays in loops without a switch; bf16 is the upper half of fp32.
  if (array.dtype == DType::bf16) {
    std::transform(
        array.as<std::uint16_t>(), array.as<std::uint16_t>() + array.size(), tensor.data(),
        [](std::uint16_t bits) {
          return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
        });
  } else if (array.dtype == DType::fp32) {
    std::copy_n(array.as<float>(), array.size(), tensor.data());
  } else {
    for (Index i = 0; i < tensor.size(); ++i) tensor[i] = array.at(i);
  }
  return tensor;
}

std::vector<Index> to_indices(const Array& array) {
  std::vector<Index> values(static_cast<std::size_t>(array.size()));
  for (Index i = 0; i < array.size(); ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<Index>(array.at(i));
  }
  return values;
}

Array from_indices(const std::vector<Index>& values) {
  Array array(DType::int32, {static_cast<Index>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) {
    array.as<std::int32_t>()[i] = static_cast<std::int32_t>(values[i]);
  }
  return array;
}

}  // namespace pairedhead
