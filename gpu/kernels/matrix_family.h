#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace pairedhead::gpu {

// `matrices` matrices of [rows, columns], one behind the other, so that a whole family of
// parameters is one launch (SPEC §6.1). A part of a family is a family too.
struct MatrixFamily {
  int matrices = 1;
  std::int64_t rows = 0, columns = 0;
  // Of the family that this is a part of, 0 for a whole one: a matrix gets the same bits in a part
  // as in the whole.
  int matrices_of_whole = 0;

  __host__ __device__ std::int64_t count_of_each() const { return rows * columns; }
  __host__ __device__ std::int64_t count() const { return matrices * count_of_each(); }
};

// Throws std::invalid_argument on a family without elements; `what` says who was asked.
inline void check_family(const char* what, const MatrixFamily& family) {
  if (family.matrices >= 1 && family.rows >= 1 && family.columns >= 1) return;
  throw std::invalid_argument(std::string(what) + ": expected matrices with elements, got " +
                              std::to_string(family.matrices) + " of " +
                              std::to_string(family.rows) + " x " + std::to_string(family.columns));
}

}  // namespace pairedhead::gpu
