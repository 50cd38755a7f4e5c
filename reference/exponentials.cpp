#include "reference/exponentials.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

using pairedhead::exp;
using std::exp;

constexpr Index lanes = 4;

void four_exponentials(double* x) {
  Eigen::Map<Eigen::Array<double, lanes, 1>> four(x);
  four = four.exp();
}

}  // namespace

template <class Scalar>
void exponentials(Scalar* x, Index count) {
  if constexpr (std::is_same_v<Scalar, double>) {
    const Index whole = count / lanes * lanes, rest = count - whole;
    for (Index i = 0; i < whole; i += lanes) four_exponentials(x + i);
    if (rest == 0) return;
    // The last ones too, lest a number's exponential depend on how many come with it.
    double last[lanes] = {};
    std::copy_n(x + whole, rest, last);
    four_exponentials(last);
    std::copy_n(last, rest, x + whole);
  } else {
    for (Index i = 0; i < count; ++i) x[i] = exp(x[i]);
  }
}

// NOLINTNEXTLINE(bugprone-macro-parentheses): a type cannot stand in them.
#define INSTANTIATE(Scalar) template void exponentials(Scalar*, Index);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
