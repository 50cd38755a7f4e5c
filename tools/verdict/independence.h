#pragma once

#include <cstdint>
#include <vector>

#include "reference/dtype.h"
#include "reference/tensor.h"

namespace pairedhead {

// The innermost extent, over which a row of a tensor runs; 1 for a tensor without axes.
Index row_width(const Shape& shape);

// How many independent errors the elements of a tensor stand for. Equal values round alike, and a
// row that one rounded statistic scales is off as a whole: the rms of a thousand such errors varies
// as much as that of one. The count is
//     n = (sum over i of c_ii)^2 / (sum over i and j of c_ij^2)
// where c is the covariance of the errors in units of sigma. It is the number of elements where all
// are independent and equally large, 1 where all are one.
struct Independence {
  double tensor = 0;         // over all elements
  std::vector<double> rows;  // over each row: the innermost axis at one outer index
};

// Every error by itself: the most that a tensor of this shape may stand for.
Independence all_independent(const Shape& shape);

// What rows [first, first + count) stand for; as a tensor, no more than one of them.
Independence rows_of(const Independence& independence, Index first, Index count);

// Estimated from at least two draws of the noise model, each of them then stored in `dtype` by
// stored_at_random. For e_k the errors of draw k in units of sigma, e_k . e_k has the mean
// sum of c_ii, and (e_k . e_l)^2 the mean sum of c_ij^2. draws, exact and scale (sigma) have one
// shape.
Independence independence_of(const std::vector<const Tensor<double>*>& draws,
                             const Tensor<double>& exact, const Tensor<double>& scale, DType dtype,
                             std::uint64_t seed);

// rho_max: how large the error of a single element may be, in units of sigma.
inline constexpr double element_limit = 8;

// How large the rms of errors may be, in units of sigma, where n of them are independent:
//     limit(n)^2 = 4/3 (1 + 2 sqrt(x / n) + 2 x / n)
// The mean of n squares of normal values of variance 4/3 exceeds that with a probability of at most
// e^-x, for every n (Laurent and Massart 2000, lemma 1). 4/3 is the mean square of the error of
// storing a value just above a power of two, in units of sigma. x = 19.1 makes limit(1) the
// element_limit. limit(5) = 4.1, limit(128) = 1.66, limit(10^4) = 1.21.
double rms_limit(double independent);

}  // namespace pairedhead
