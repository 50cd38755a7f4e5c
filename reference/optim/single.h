#pragma once

#include <cmath>

namespace pairedhead::reference {

// One IEEE fp32 operation at a time, computed in double and rounded once more: for + - * / and the
// root of fp32 numbers the second rounding is harmless, since 53 >= 2 * 24 + 2. So the sequences
// that SPEC §6.2 and §6.3 define do not depend on what a compiler does with floats. The same
// template with double for Single is the sequence without its roundings.
class Single {
 public:
  Single(float value) : value_(static_cast<double>(value)) {}
  // The nearest float.
  explicit Single(double value) : Single(static_cast<float>(value)) {}
  float get() const { return static_cast<float>(value_); }

  friend Single operator+(Single a, Single b) { return Single(a.value_ + b.value_); }
  friend Single operator-(Single a, Single b) { return Single(a.value_ - b.value_); }
  friend Single operator*(Single a, Single b) { return Single(a.value_ * b.value_); }
  friend Single operator/(Single a, Single b) { return Single(a.value_ / b.value_); }
  friend Single sqrt(Single a) { return Single(std::sqrt(a.value_)); }
  friend bool operator>(Single a, Single b) { return a.value_ > b.value_; }
  friend bool operator>=(Single a, Single b) { return a.value_ >= b.value_; }

 private:
  double value_;
};

}  // namespace pairedhead::reference
