#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "reference/error.h"
#include "reference/tensor_memory.h"

namespace pairedhead {

using Index = std::int64_t;
using Shape = std::vector<Index>;

inline Index element_count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

// "[16, 6, 128]"
inline std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

// Memory that begins on a cache line. Eigen's sums start where a vector register is aligned, so
// that elsewhere their order, and the last bits of a result, would depend on what malloc found.
// Where assertions are checked it comes of operator new, whose blocks a sanitizer watches.
template <class T>
struct LineAllocator {
  using value_type = T;

  LineAllocator() = default;
  template <class Other>
  LineAllocator(const LineAllocator<Other>&) {}
#ifdef NDEBUG
  T* allocate(std::size_t count) {
    return static_cast<T*>(allocate_tensor_memory(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t count) { free_tensor_memory(memory, count * sizeof(T)); }
#else
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(cache_line)));
  }
  void deallocate(T* memory, std::size_t) {
    ::operator delete(memory, std::align_val_t(cache_line));
  }
#endif
  // Where no value is given, none is written (see Tensor::unwritten).
  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Arguments>
  void construct(U* place, Arguments&&... arguments) {
    ::new (static_cast<void*>(place)) U(std::forward<Arguments>(arguments)...);
  }
  bool operator==(const LineAllocator&) const { return true; }
};

// A dense tensor: row-major, innermost axis last, values owned. The scalar is double for the truth,
// Magnitude, Dual or __float128 for what is derived from it (reference/scalar.h).
template <class Scalar>
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Shape shape, Scalar fill = Scalar(0))
      : shape_(std::move(shape)), values_(static_cast<std::size_t>(element_count(shape_)), fill) {}
  // For a result whose every element is written next, so that it need not be cleared before. A
  // debug build fills it with NaN, lest one be forgotten. (clang-tidy does not see the move.)
  static Tensor unwritten(Shape shape) {  // NOLINT(performance-unnecessary-value-param)
    Tensor result;
    result.values_.resize(static_cast<std::size_t>(element_count(shape)));
    result.shape_ = std::move(shape);
#ifndef NDEBUG
    const double nan = std::numeric_limits<double>::quiet_NaN();
    std::fill(result.values_.begin(), result.values_.end(), Scalar(nan));
#endif
    return result;
  }
  // A copy of the values, which must be as many as the shape has elements.
  Tensor(Shape shape, std::span<const Scalar> values)
      : shape_(std::move(shape)), values_(values.begin(), values.end()) {
    assert(element_count(shape_) == size());
  }

  // The same values in the same order under another shape. Throws InputError unless it has as many
  // elements.
  Tensor reshaped(Shape shape) const& { return Tensor(*this).reshaped(std::move(shape)); }
  Tensor reshaped(Shape shape) && {
    if (element_count(shape) != size()) {
      throw InputError("reshaped: expected a shape of " + std::to_string(size()) +
                       " elements, got " + to_string(shape));
    }
    shape_ = std::move(shape);
    return std::move(*this);
  }

  const Shape& shape() const { return shape_; }
  Index dim(std::size_t axis) const { return shape_.at(axis); }
  Index size() const { return static_cast<Index>(values_.size()); }
  Scalar* data() { return values_.data(); }
  const Scalar* data() const { return values_.data(); }
  std::span<Scalar> values() { return values_; }
  std::span<const Scalar> values() const { return values_; }

  Scalar& operator[](Index i) { return values_[static_cast<std::size_t>(i)]; }
  const Scalar& operator[](Index i) const { return values_[static_cast<std::size_t>(i)]; }
  Scalar& operator()(Index i, Index j) { return (*this)[i * shape_[1] + j]; }
  const Scalar& operator()(Index i, Index j) const { return (*this)[i * shape_[1] + j]; }
  Scalar& operator()(Index i, Index j, Index k) {
    return (*this)[(i * shape_[1] + j) * shape_[2] + k];
  }
  const Scalar& operator()(Index i, Index j, Index k) const {
    return (*this)[(i * shape_[1] + j) * shape_[2] + k];
  }

 private:
  Shape shape_;
  std::vector<Scalar, LineAllocator<Scalar>> values_;
};

// Throws InputError naming `what` unless the shapes are equal. Called at every public boundary.
template <class Shaped>
void require_shape(const char* what, const Shaped& tensor, const Shape& expected) {
  if (tensor.shape() != expected) {
    throw InputError(std::string(what) + ": expected shape " + to_string(expected) + ", got " +
                     to_string(tensor.shape()));
  }
}

// Throws InputError naming `what` unless the tensor is [T, H, D] with none of them zero.
template <class Scalar>
void require_heads(const char* what, const Tensor<Scalar>& tensor) {
  if (tensor.shape().size() != 3 || tensor.size() == 0) {
    throw InputError(std::string(what) + ": expected shape [T, H, D], none of them 0, got " +
                     to_string(tensor.shape()));
  }
}

// Throws InputError naming `what` unless the tensor is a matrix with neither extent zero.
template <class Scalar>
void require_matrix(const char* what, const Tensor<Scalar>& tensor) {
  if (tensor.shape().size() != 2 || tensor.size() == 0) {
    throw InputError(std::string(what) + ": expected a matrix with at least one element, got " +
                     to_string(tensor.shape()));
  }
}

// Element by element conversion, for example Tensor<double> to Tensor<Magnitude>.
template <class To, class From>
Tensor<To> cast(const Tensor<From>& from) {
  Tensor<To> to(from.shape());
  for (Index i = 0; i < from.size(); ++i) to[i] = To(from[i]);
  return to;
}

}  // namespace pairedhead
