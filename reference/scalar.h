#pragma once

#include <cmath>

// The scalars that the reference's templates are run with. double computes the truth; the others
// compute what the truth is worth:
//   Magnitude  the same computation on absolute values, the a_i of an error scale
//   Dual       the derivative along one direction, which certifies the backward functions
//   __float128 the same formulas with 113 bits, which bound the double's own error
// Each needs + - * /, comparison, and the functions below found by argument-dependent lookup
// (float128 through overloads in this namespace).

namespace pairedhead {

// A value beside the sum of the absolute values of the terms it was made from.
struct Magnitude {
  // An error scale takes 4 u of the magnitude, u = 2^-24 of an fp32 accumulator.
  static constexpr double second_order = 0x1p-22;

  double value = 0;
  double magnitude = 0;

  Magnitude() = default;
  explicit Magnitude(double v) : value(v), magnitude(std::abs(v)) {}
  Magnitude(double v, double m) : value(v), magnitude(m) {}

  // Of the magnitude, what the value itself does not show.
  double lost() const { return magnitude - std::abs(value); }

  friend Magnitude operator+(Magnitude a, Magnitude b) {
    return {a.value + b.value, a.magnitude + b.magnitude};
  }
  friend Magnitude operator-(Magnitude a, Magnitude b) {
    return {a.value - b.value, a.magnitude + b.magnitude};
  }
  friend Magnitude operator-(Magnitude a) { return {-a.value, a.magnitude}; }
  // What one factor lost to cancellation is as uncertain as before times the other's value, and
  // meets what that one lost only in second order: were it times the other's magnitude, a chain of
  // products would grow without bound.
  friend Magnitude operator*(Magnitude a, Magnitude b) {
    return {a.value * b.value, std::abs(a.value * b.value) + a.lost() * std::abs(b.value) +
                                   std::abs(a.value) * b.lost() +
                                   second_order * a.lost() * b.lost()};
  }
  // A denominator that cancelled makes the quotient as uncertain as itself.
  friend Magnitude operator/(Magnitude a, Magnitude b) {
    const double quotient = a.value / b.value, inverse = 1 / std::abs(b.value);
    return {quotient,
            std::abs(quotient) + inverse * (a.lost() + std::abs(quotient) * b.lost() +
                                            second_order * inverse * a.lost() * b.lost())};
  }
  Magnitude& operator+=(Magnitude b) { return *this = *this + b; }
  Magnitude& operator-=(Magnitude b) { return *this = *this - b; }
  Magnitude& operator*=(Magnitude b) { return *this = *this * b; }
  friend bool operator<(Magnitude a, Magnitude b) { return a.value < b.value; }
  friend bool operator>(Magnitude a, Magnitude b) { return b < a; }
};
// exp(x) and log(x) turn the absolute uncertainty of x into a relative one and back.
inline Magnitude exp(Magnitude x) {
  const double e = std::exp(x.value);
  return {e, e * (1 + x.magnitude)};
}
inline Magnitude log(Magnitude x) {
  const double l = std::log(x.value);
  return {l, std::abs(l) + x.magnitude / x.value};
}
inline Magnitude sqrt(Magnitude x) {
  const double r = std::sqrt(x.value);
  return {r, r == 0 ? 0 : x.magnitude / r};
}

// value + derivative * epsilon, epsilon^2 = 0.
struct Dual {
  double value = 0;
  double derivative = 0;

  Dual() = default;
  explicit Dual(double v) : value(v) {}
  Dual(double v, double d) : value(v), derivative(d) {}

  friend Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.derivative + b.derivative}; }
  friend Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.derivative - b.derivative}; }
  friend Dual operator-(Dual a) { return {-a.value, -a.derivative}; }
  friend Dual operator*(Dual a, Dual b) {
    return {a.value * b.value, a.derivative * b.value + a.value * b.derivative};
  }
  friend Dual operator/(Dual a, Dual b) {
    const double q = a.value / b.value;
    return {q, (a.derivative - q * b.derivative) / b.value};
  }
  Dual& operator+=(Dual b) { return *this = *this + b; }
  Dual& operator-=(Dual b) { return *this = *this - b; }
  Dual& operator*=(Dual b) { return *this = *this * b; }
  friend bool operator<(Dual a, Dual b) { return a.value < b.value; }
  friend bool operator>(Dual a, Dual b) { return b < a; }
};
inline Dual exp(Dual x) {
  const double e = std::exp(x.value);
  return {e, e * x.derivative};
}
inline Dual log(Dual x) { return {std::log(x.value), x.derivative / x.value}; }
inline Dual sqrt(Dual x) {
  const double r = std::sqrt(x.value);
  return {r, x.derivative / (2 * r)};
}

using Float128 = __float128;
Float128 exp(Float128 x);
Float128 log(Float128 x);
Float128 sqrt(Float128 x);

// The logistic function 1 / (1 + e^-x), SPEC's sig.
template <class Scalar>
Scalar sigmoid(const Scalar& x) {
  using pairedhead::exp;
  using std::exp;
  return Scalar(1) / (Scalar(1) + exp(-x));
}

}  // namespace pairedhead
