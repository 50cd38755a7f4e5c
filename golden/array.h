#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "reference/dtype.h"
#include "reference/tensor.h"

namespace pairedhead {

// A tensor as a target holds it: raw bytes of its own dtype. The bridge between the reference's
// doubles, the files, and the kernels.
struct Array {
  DType dtype = DType::fp64;
  Shape shape;
  std::vector<std::byte> bytes;  // row-major, element_count(shape) * size_of(dtype)

  Array() = default;
  Array(DType dtype, Shape shape);  // zero bytes

  Index size() const { return element_count(shape); }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
  // Element i as a double, whatever the dtype; exact for every dtype.
  double at(Index i) const;
  // Stores the nearest value of this dtype.
  void set(Index i, double value);
};

// Rounds each element to dtype (nearest, ties to even).
Array to_array(const Tensor<double>& tensor, DType dtype);
Tensor<double> to_tensor(const Array& array);
std::vector<Index> to_indices(const Array& array);  // int32 arrays such as cu_seqlens
Array from_indices(const std::vector<Index>& values);

// Tensors by the names of SPEC §12.1 ("q", "cu_seqlens", "grad_y"), in alphabetical order.
using Arrays = std::map<std::string, Array>;

}  // namespace pairedhead
