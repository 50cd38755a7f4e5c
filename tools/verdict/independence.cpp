#include "tools/verdict/independence.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>

#include "reference/random.h"
#include "reference/stored_at_random.h"

namespace pairedhead {
namespace {

// Draw k is multiplied with itself and with the next few after it, the last with the first again.
// Of 32 draws these are 256 pairs, which know the mean of squared products to a tenth.
constexpr std::size_t partners = 8;

// Elements that are taken at a time, so that their errors stay in the cache.
constexpr std::size_t block = 64;

// Errors in units of sigma, element by element, of all draws and then of the first few again, so
// that a draw's partners lie behind it.
class Errors {
 public:
  Errors(std::size_t elements, std::size_t draws)
      : draws_(draws), stride_(draws + partners), errors_(elements * stride_) {}

  double& at(std::size_t element, std::size_t draw) { return errors_[element * stride_ + draw]; }
  // Once all draws are there.
  void repeat_first(std::size_t elements) {
    for (std::size_t i = 0; i < elements; ++i) {
      for (std::size_t k = draws_; k < stride_; ++k) at(i, k) = at(i, k - draws_);
    }
  }
  const double* of(std::size_t element) const { return errors_.data() + element * stride_; }
  std::size_t stride() const { return stride_; }

 private:
  std::size_t draws_, stride_;
  std::vector<double> errors_;
};

// Inner products of the draws' errors, which add over the elements of a row and the rows of a
// tensor.
class Products {
 public:
  explicit Products(std::size_t draws)
      : others_(std::min(partners, draws - 1)),
        sums_(Eigen::ArrayXXd::Zero(static_cast<Eigen::Index>(draws), 1 + partners)) {}

  void add(const Errors& errors, std::size_t first, std::size_t count) {
    constexpr Eigen::Index at_once = 4;  // draws, a register of them
    Eigen::Index k = 0;
    for (; k + at_once <= sums_.rows(); k += at_once) {
      add_draws<at_once>(errors, first, count, k);
    }
    for (; k < sums_.rows(); ++k) add_draws<1>(errors, first, count, k);
  }
  void add(const Products& other) { sums_ += other.sums_; }
  void clear() { sums_.setZero(); }

  double independent(double elements) const {
    if (elements <= 1) return elements;
    const double squares = sums_.col(0).mean();
    const double products = sums_.middleCols(1, static_cast<Eigen::Index>(others_)).square().mean();
    return products == 0 ? elements : std::clamp(squares * squares / products, 1.0, elements);
  }

 private:
  // Of the draws from k on, over `count` elements: a register for each partner.
  template <int width>
  void add_draws(const Errors& errors, std::size_t first, std::size_t count, Eigen::Index k) {
    using Lanes = Eigen::Array<double, width, 1>;
    std::array<Lanes, 1 + partners> sums;
    for (Lanes& sum : sums) sum.setZero();
    const double* at = errors.of(first) + k;
    for (std::size_t i = 0; i < count; ++i, at += errors.stride()) {
      const Lanes mine = Eigen::Map<const Lanes>(at);
      for (std::size_t n = 0; n <= partners; ++n) sums[n] += mine * Eigen::Map<const Lanes>(at + n);
    }
    for (std::size_t n = 0; n <= partners; ++n) {
      sums_.col(static_cast<Eigen::Index>(n)).segment<width>(k) += sums[n];
    }
  }

  std::size_t others_;
  Eigen::ArrayXXd sums_;  // by draw and partner, itself first
};

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
  std::vector<std::uint64_t> seeds;
  for (std::size_t k = 0; k < draws.size(); ++k) seeds.push_back(Random(seed).split(k + 1).bits());
  const auto elements = static_cast<std::size_t>(exact.size());
  const auto width = static_cast<std::size_t>(row_width(exact.shape()));
  Independence independence;
  Products all(draws.size()), row(draws.size());
  Errors errors(std::min(block, elements), draws.size());
  std::array<double, block> stored, per_sigma;
  std::size_t in_row = 0;  // elements that `row` has
  for (std::size_t begin = 0; begin < elements; begin += block) {
    const std::size_t count = std::min(block, elements - begin);
    const double* y = exact.data() + begin;
    for (std::size_t i = 0; i < count; ++i) {
      const double sigma = scale[static_cast<Index>(begin + i)];
      per_sigma[i] = sigma == 0 ? 0 : 1 / sigma;
    }
    for (std::size_t k = 0; k < draws.size(); ++k) {
      stored_at_random(dtype, {draws[k]->data() + begin, count}, seeds[k], stored);
      for (std::size_t i = 0; i < count; ++i) errors.at(i, k) = (stored[i] - y[i]) * per_sigma[i];
    }
    errors.repeat_first(count);
    for (std::size_t i = 0; i < count;) {
      const std::size_t part = std::min(width - in_row, count - i);
      row.add(errors, i, part);
      i += part;
      in_row += part;
      if (in_row < width) continue;
      independence.rows.push_back(row.independent(static_cast<double>(width)));
      all.add(row);
      row.clear();
      in_row = 0;
    }
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
