#pragma once

#include <string>
#include <vector>

#include "golden/golden_file.h"

namespace pairedhead {

// How far a golden's values may be from what this program computes on this machine, in units of the
// sum of the absolute values of the terms of an element (component.magnitude; of the value itself
// in bitwise rows). Another processor may sum a matrix product in another order; another libm may
// round exp, log and cos differently.
inline constexpr double reference_tolerance = 64 * 0x1p-53;
// Another formulation, and the record itself: the bound that SPEC §14 was checked to. For the
// record in units of the largest sum in the tensor, because some of its gradients were recovered by
// solving a linear system, which spreads its roundoff over the tokens.
inline constexpr double independent_tolerance = 1e-12;
// The scale is a mean over seeded draws and follows the values smoothly; it is kept in fp32.
inline constexpr double scale_tolerance = 1e-9 + 0x1p-24;
// The record computes its fp32 frequencies in fp32 where we have one rounding from double (SPEC
// §3.4): relative to the value.
inline constexpr double record_fp32_tolerance = 4 * 0x1p-24;

// What became of one case.
struct GoldenVerdict {
  std::vector<std::string> complaints;  // one sentence each; empty if it holds
  double worst = 0;                     // error over tolerance, the largest of all values
  std::string worst_at;                 // "grads/q[3, 0, 1]"

  bool holds() const { return complaints.empty(); }
};

// Recomputes the case. Inputs of origin "reference" must be bitwise those of their seed; outputs
// and gradients must lie within the tolerance of their origin, and values of bitwise rows other
// than fp64 must be equal. Throws InputError if the component or its parameters are unknown.
GoldenVerdict check_golden(const GoldenCase& golden);

}  // namespace pairedhead
