#pragma once

#include "reference/tensor.h"

namespace pairedhead::reference {

// e^x of each of `count` numbers, in place. In double four at a time in vector registers, a quarter
// of libm's time, within 2 units in the last place; each result depends on its number alone, on any
// machine, and what lies under 2^-1022 may be a subnormal for 0. No M point.
template <class Scalar>
void exponentials(Scalar* x, Index count);

}  // namespace pairedhead::reference
