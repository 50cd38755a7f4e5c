#include "tools/verdict/independence.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "reference/random.h"
#include "reference/rounding.h"

namespace pairedhead {
namespace {

// Draw k is multiplied with the next few after it, the last with the first again. Of 32 draws these
// are 256 pairs, which know the mean of squared products to a tenth.
constexpr Eigen::Index partners = 8;

// Errors of all draws, in units of sigma, over one row: [draws, width].
using Errors = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Inner products of the draws' errors, which add over the rows of a tensor.
struct Products {
  explicit Products(Eigen::Index draws)
      : with_itself(Eigen::VectorXd::Zero(draws)),
        with_others(Eigen::MatrixXd::Zero(draws, std::min(partners, draws - 1))) {}

  double independent(double elements) const {
    const double squares = with_itself.mean(), products = with_others.array().square().mean();
    return products == 0 ? elements : std::clamp(squares * squares / products, 1.0, elements);
  }

  Eigen::VectorXd with_itself;
  Eigen::MatrixXd with_others;  // by draw and partner
};

Products products_of(const Errors& errors) {
  const Eigen::Index draws = errors.rows();
  Products products(draws);
  for (Eigen::Index k = 0; k < draws; ++k) {
    products.with_itself[k] = errors.row(k).squaredNorm();
    for (Eigen::Index n = 0; n < products.with_others.cols(); ++n) {
      products.with_others(k, n) = errors.row(k).dot(errors.row((k + n + 1) % draws));
    }
  }
  return products;
}

}  // namespace

Index row_width(const Shape& shape) { return shape.empty() ? 1 : std::max<Index>(shape.back(), 1); }

Independence all_independent(const Shape& shape) {
  const Index width = row_width(shape), count = element_count(shape);
  return {static_cast<double>(count),
          std::vector<double>(static_cast<std::size_t>(count / width), static_cast<double>(width))};
}

Independence rows_of(const Independence& independence, Index first, Index count) {
  const auto begin = independence.rows.begin() + first;
  Independence some{0, {begin, begin + count}};
  for (const double rows : some.rows) some.tensor = std::max(some.tensor, rows);
  return some;
}

Independence independence_of(const std::vector<const Tensor<double>*>& draws,
                             const Tensor<double>& exact, const Tensor<double>& scale, DType dtype,
                             std::uint64_t seed) {
  const Index width = row_width(exact.shape());
  const auto count = static_cast<Eigen::Index>(draws.size());
  std::vector<std::uint64_t> seeds;
  for (Index k = 0; k < count; ++k) {
    seeds.push_back(Random(seed).split(static_cast<std::uint64_t>(k) + 1).bits());
  }
  Independence independence;
  Products all(count);
  Errors errors(count, width);
  for (Index begin = 0; begin < exact.size(); begin += width) {
    for (Index k = 0; k < count; ++k) {
      const auto draw = static_cast<std::size_t>(k);
      for (Index i = 0; i < width; ++i) {
        const double sigma = scale[begin + i];
        const double stored = stored_at_random(dtype, (*draws[draw])[begin + i], seeds[draw]);
        errors(k, i) = sigma == 0 ? 0 : (stored - exact[begin + i]) / sigma;
      }
    }
    const Products row = products_of(errors);
    independence.rows.push_back(row.independent(static_cast<double>(width)));
    all.with_itself += row.with_itself;
    all.with_others += row.with_others;
  }
  independence.tensor = all.independent(static_cast<double>(exact.size()));
  return independence;
}

double rms_limit(double independent) {
  constexpr double storing = 4.0 / 3;
  if (independent <= 1) return element_limit;
  // limit(1)^2 / storing = 1 + 2 sqrt(x) + 2 x
  static const double root =
      (std::sqrt(2 * element_limit * element_limit / storing - 1) - 1) / 2;  // of x
  const double share = root / std::sqrt(independent);
  return std::sqrt(storing * (1 + 2 * share + 2 * share * share));
}

}  // namespace pairedhead
