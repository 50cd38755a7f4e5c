#pragma once

#include <cstdint>

namespace pairedhead::gpu {

// `matrices` matrices of [rows, columns], one behind the other, so that a whole family of
// parameters is one launch (SPEC §6.1). A part of a family is a family too.
struct MatrixFamily {
  int matrices = 1;
  std::int64_t rows = 0, columns = 0;

  std::int64_t count_of_each() const { return rows * columns; }
  std::int64_t count() const { return matrices * count_of_each(); }
};

}  // namespace pairedhead::gpu
