#pragma once

#include <cstdint>

#include "gpu/kernels/matrix_family.h"

namespace pairedhead::gpu {

// What is orthogonalised apart in `parameters` parameters of [rows, columns] that hold `matrices`
// matrices each, one below the other (SPEC §6.1.3): 4 for attention's Q, K, V, O, 1 for an MLP's.
// Throws std::invalid_argument unless the rows divide into them.
MatrixFamily normuon_family(int parameters, std::int64_t rows, std::int64_t columns, int matrices);

// eff_lr and eff_wd of SPEC §6.1.6 for a parameter stored as [rows, columns], made in double and
// rounded once. learning_rate is the schedule's factor lr(step).
struct NormuonRates {
  float learning_rate, weight_decay;
};
NormuonRates normuon_rates(std::int64_t rows, std::int64_t columns, int matrices, double lr_mul,
                           double wd_mul, double learning_rate);

}  // namespace pairedhead::gpu
