#include "reference/scalar.h"

#include <quadmath.h>

namespace pairedhead {

Float128 exp(Float128 x) { return expq(x); }
Float128 log(Float128 x) { return logq(x); }
Float128 sqrt(Float128 x) { return sqrtq(x); }

}  // namespace pairedhead
