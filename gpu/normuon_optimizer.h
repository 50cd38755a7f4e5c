#pragma once

#include <cstdint>
#include <vector>

#include "gpu/arena.h"
#include "gpu/gradient_tree.h"
#include "gpu/kernels/linear.h"
#include "gpu/kernels/matrix_family.h"
#include "gpu/ownership.h"
#include "gpu/parameter_layout.h"
#include "gpu/trainer_state.h"

namespace pairedhead::gpu {

// NorMuon over the matrices that a rank owns (SPEC §6.1, §6.2). Neighbours of one shape are one
// family, moved together: attention's banks, and the matrices of the MLPs.
class NormuonOptimizer {
 public:
  // Cuts its buffers from the arena; the state before step 0 is zero.
  NormuonOptimizer(const ParameterLayout& layout, const Ownership& ownership, int rank,
                   Arena& arena);

  // Brings to the device what changes from step to step: mu(step), and the rates at lr(step).
  void prepare(double momentum, double learning_rate, cudaStream_t stream);

  // One step of every matrix owned, with what was prepared last; it depends on nothing else of the
  // step.
  void enqueue(LinearAlgebra& algebra, const ParameterBuffers& parameters,
               const GradientSums& gradients, cudaStream_t stream) const;

  // normuon/NAME/moment fp32 [rows, columns], second_moment fp32 [rows], mantissa uint16 [rows,
  // columns]; of all matrices, without data where another rank owns it.
  std::vector<StateTensor> state() const;

 private:
  // Neighbours in a family with the same rates: `count` elements from `first` on.
  struct RateGroup {
    std::int64_t first, count;
    double lr_mul, wd_mul;
  };
  struct Family {
    int parameters;
    std::int64_t rows, columns;  // of a parameter
    int matrices;                // in a parameter
    int matrices_of_whole;       // of all ranks
    std::int64_t offset;         // in the layout
    std::int64_t kept;           // in the moments and mantissas
    float* second_moment;        // [parameters * rows]
    std::vector<RateGroup> groups;

    MatrixFamily as_matrices() const;
  };

  struct Matrix {
    ParameterPlace place;
    std::vector<reference::Owned> rows;  // by rank: all of them or none
  };

  bool owns(const Matrix& matrix) const;
  static void add(const ParameterPlace& place, std::vector<Family>& families);
  void move(const Family& family, const float* rates, LinearAlgebra& algebra,
            const ParameterBuffers& parameters, const GradientSums& gradients,
            cudaStream_t stream) const;

  std::size_t rank_;
  std::vector<Matrix> matrices_;
  std::vector<Family> families_;
  float* momentum_ = nullptr;  // [1], and behind it
  float* rates_ = nullptr;     // eff_lr and eff_wd of every group, family by family
  float* moment_ = nullptr;    // family by family, as the mantissa is
  std::uint16_t* mantissa_ = nullptr;
  __nv_bfloat16 *direction_ = nullptr, *orthogonal_ = nullptr;  // of the largest family
  float* row_factor_ = nullptr;                                 // of the one with most rows
  void* workspace_ = nullptr;
};

}  // namespace pairedhead::gpu
