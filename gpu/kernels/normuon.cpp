#include "gpu/kernels/normuon.h"

#include <algorithm>
#include <cmath>

#include "gpu/kernels/mutant.h"

namespace pairedhead::gpu {
namespace {

constexpr double base_rate = 0.023, base_decay = 1.2;

bool active(KernelMutant mutant) { return planted(active_kernel_mutant(), mutant); }

}  // namespace

MatrixFamily normuon_family(int parameters, std::int64_t rows, std::int64_t columns, int matrices) {
  if (matrices < 1 || rows % matrices != 0) {
    throw std::invalid_argument("normuon: expected " + std::to_string(rows) +
                                " rows to divide into matrices, got " + std::to_string(matrices));
  }
  if (active(KernelMutant::bank_as_one_matrix)) return {parameters, rows, columns};
  return {parameters * matrices, rows / matrices, columns};
}

NormuonRates normuon_rates(std::int64_t rows, std::int64_t columns, int matrices, double lr_mul,
                           double wd_mul, double learning_rate) {
  if (active(KernelMutant::shape_factor_of_views)) rows /= matrices;
  const double eta = base_rate * learning_rate;
  const double shape =
      std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
  return {static_cast<float>(eta * shape * lr_mul), static_cast<float>(eta * base_decay * wd_mul)};
}

}  // namespace pairedhead::gpu
