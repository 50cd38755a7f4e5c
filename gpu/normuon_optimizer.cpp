#include "gpu/normuon_optimizer.h"

#include <algorithm>

#include "gpu/error.h"
#include "gpu/kernels/cautious_split.h"
#include "gpu/kernels/momentum.h"
#include "gpu/kernels/normuon.h"
#include "gpu/kernels/polar_express.h"
#include "gpu/kernels/variance_reduction.h"

namespace pairedhead::gpu {
namespace {

// SPEC §6.1.3: Q, K, V and O of a bank are orthogonalised apart.
int matrices_in(const ParameterPlace& place) { return place.info.label == "attn" ? 4 : 1; }

}  // namespace

MatrixFamily NormuonOptimizer::Family::as_matrices() const {
  MatrixFamily family = normuon_family(parameters, rows, columns, matrices);
  family.matrices_of_whole = matrices_of_whole;
  return family;
}

NormuonOptimizer::NormuonOptimizer(const ParameterLayout& layout, const Ownership& ownership,
                                   int rank, Arena& arena)
    : rank_(static_cast<std::size_t>(rank)) {
  std::vector<Family> whole;
  for (const ParameterPlace& place : layout.places()) {
    if (place.info.optimizer != reference::Optimizer::normuon) continue;
    add(place, whole);
    matrices_.push_back({place, ownership.rows(place.info.name)});
    if (owns(matrices_.back())) add(place, families_);
  }
  std::int64_t groups = 0, largest = 0, most_rows = 0, end = 0;
  std::size_t workspace = 0;
  for (Family& family : families_) {
    const auto around = std::find_if(whole.rbegin(), whole.rend(), [&](const Family& candidate) {
      return candidate.offset <= family.offset;
    });
    family.matrices_of_whole = around->parameters * around->matrices;
    family.kept = end;
    const MatrixFamily matrices = family.as_matrices();
    family.second_moment = arena.take<float>(family.parameters * family.rows);
    groups += static_cast<std::int64_t>(family.groups.size());
    largest = std::max(largest, matrices.count());
    most_rows = std::max(most_rows, family.parameters * family.rows);
    end += matrices.count();
    workspace =
        std::max({workspace, polar_workspace_bytes(matrices), variance_workspace_bytes(matrices)});
  }
  momentum_ = arena.take<float>(1 + 2 * groups);
  rates_ = momentum_ + 1;
  moment_ = arena.take<float>(end);
  mantissa_ = arena.take<std::uint16_t>(end);
  direction_ = arena.take<__nv_bfloat16>(largest);
  orthogonal_ = arena.take<__nv_bfloat16>(largest);
  row_factor_ = arena.take<float>(most_rows);
  workspace_ = arena.take<std::byte>(static_cast<std::int64_t>(workspace));
}

bool NormuonOptimizer::owns(const Matrix& matrix) const { return matrix.rows[rank_].rows > 0; }

// To the last family if it is one more of its kind right behind it, else to one of its own.
void NormuonOptimizer::add(const ParameterPlace& place, std::vector<Family>& families) {
  const std::int64_t rows = place.info.shape[0], columns = place.info.shape[1];
  const auto continues = [&](const Family& family) {
    return family.rows == rows && family.columns == columns &&
           family.matrices == matrices_in(place) &&
           family.offset + family.parameters * rows * columns == place.offset;
  };
  if (families.empty() || !continues(families.back())) {
    families.push_back({.parameters = 0,
                        .rows = rows,
                        .columns = columns,
                        .matrices = matrices_in(place),
                        .matrices_of_whole = 0,
                        .offset = place.offset,
                        .kept = 0,
                        .second_moment = nullptr,
                        .groups = {}});
  }
  Family& family = families.back();
  const auto same_rates = [&](const RateGroup& group) {
    return group.lr_mul == place.info.lr_mul && group.wd_mul == place.info.wd_mul;
  };
  if (family.groups.empty() || !same_rates(family.groups.back())) {
    family.groups.push_back(
        {place.offset - family.offset, 0, place.info.lr_mul, place.info.wd_mul});
  }
  family.groups.back().count += place.count;
  ++family.parameters;
}

void NormuonOptimizer::prepare(double momentum, double learning_rate, cudaStream_t stream) {
  std::vector<float> numbers = {static_cast<float>(momentum)};
  for (const Family& family : families_) {
    for (const RateGroup& group : family.groups) {
      const NormuonRates rates = normuon_rates(family.rows, family.columns, family.matrices,
                                               group.lr_mul, group.wd_mul, learning_rate);
      numbers.insert(numbers.end(), {rates.learning_rate, rates.weight_decay});
    }
  }
  CUDA_CHECK(cudaMemcpyAsync(momentum_, numbers.data(), numbers.size() * sizeof(float),
                             cudaMemcpyHostToDevice, stream));
}

void NormuonOptimizer::enqueue(LinearAlgebra& algebra, const ParameterBuffers& parameters,
                               const GradientSums& gradients, cudaStream_t stream) const {
  const float* rates = rates_;
  for (const Family& family : families_) {
    move(family, rates, algebra, parameters, gradients, stream);
    rates += 2 * family.groups.size();
  }
}

void NormuonOptimizer::move(const Family& family, const float* rates, LinearAlgebra& algebra,
                            const ParameterBuffers& parameters, const GradientSums& gradients,
                            cudaStream_t stream) const {
  const MatrixFamily matrices = family.as_matrices();
  momentum_update(matrices.count(), gradients.of_bf16 + family.offset, momentum_,
                  moment_ + family.kept, direction_, stream);
  polar_express(algebra, matrices, direction_, orthogonal_, workspace_, stream);
  variance_reduction(matrices, orthogonal_, family.second_moment, row_factor_, workspace_, stream);
  for (const RateGroup& group : family.groups) {
    cautious_split_update(group.count / family.columns, family.columns, orthogonal_ + group.first,
                          row_factor_ + group.first / family.columns, rates, rates + 1,
                          parameters.bf16 + family.offset + group.first,
                          mantissa_ + family.kept + group.first, stream);
    rates += 2;
  }
}

std::vector<StateTensor> NormuonOptimizer::state() const {
  std::vector<StateTensor> state;
  auto family = families_.begin();
  int parameter = 0;  // the next in it
  for (const Matrix& matrix : matrices_) {
    float *moment = nullptr, *second_moment = nullptr;
    std::uint16_t* mantissa = nullptr;
    if (owns(matrix)) {
      if (parameter == family->parameters) {
        ++family;
        parameter = 0;
      }
      const std::int64_t at = family->kept + parameter * matrix.place.count;
      moment = moment_ + at;
      mantissa = mantissa_ + at;
      second_moment = family->second_moment + parameter++ * family->rows;
    }
    const Shape& shape = matrix.place.info.shape;
    const std::string group = "normuon/" + matrix.place.info.name;
    state.push_back({group + "/moment", DType::fp32, shape, moment, matrix.rows});
    state.push_back(
        {group + "/second_moment", DType::fp32, {shape[0]}, second_moment, matrix.rows});
    state.push_back({group + "/mantissa", DType::uint16, shape, mantissa, matrix.rows});
  }
  return state;
}

}  // namespace pairedhead::gpu
