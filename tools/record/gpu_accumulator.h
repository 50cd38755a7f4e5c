#pragma once

#include "tools/record/verification_record.h"

namespace pairedhead {

// How many significant bits the matrix units of device 0 keep of a sum of fp8 products, with and
// without fast accumulation, found with two products of which one is 2^j times the other. Passed if
// the error scale of the head's row (fp8_accumulator) allows for no more roundoff than there is,
// and no less.
RecordedCheck check_fp8_accumulator();

}  // namespace pairedhead
