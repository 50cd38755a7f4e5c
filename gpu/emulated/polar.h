#pragma once

#include <cstdint>
#include <vector>

// NorMuon's work on whole matrices. bf16 as bits, row-major; sums in fp32, in an order that
// order_seed shuffles.

namespace pairedhead::gpu::emulated {

using Bf16Matrix = std::vector<std::uint16_t>;

// direction: [rows, columns] fp32. Returns X: [m, n] bf16, transposed where rows > columns.
Bf16Matrix polar_normalise(const float* direction, int rows, int columns, std::uint64_t order_seed);

// X: [m, n] with m <= n. One iteration, 0 to 4.
Bf16Matrix polar_iteration(const Bf16Matrix& x, int m, int n, int iteration, bool fused,
                           std::uint64_t order_seed);

// direction: [rows, columns] fp32. Returns the orthogonalised matrix, [rows, columns].
Bf16Matrix polar_express(const float* direction, int rows, int columns, bool fused,
                         std::uint64_t order_seed);

// update [rows, columns] and second_moment [rows], both in place.
void variance_reduction(std::uint16_t* update, float* second_moment, int rows, int columns,
                        std::uint64_t order_seed);

}  // namespace pairedhead::gpu::emulated
