#pragma once

#include <string>

#include "tools/components/component.h"
#include "tools/targets/target.h"

namespace pairedhead {

// What a census found. Exhaustive: every query row and every key row of the setting was counted.
struct CensusResult {
  Index rows = 0;           // query rows and key rows counted
  Index wrong = 0;          // of those, how many saw another set of keys (or were seen by one)
  std::string first_wrong;  // the first of them: token, head, digit, expected count, counted
};

// Recovers whom every row sees, at any size, from two calls. Queries are zero,
// so a row's softmax is uniform over its visible keys and its output is their mean value;
// values are one-hot in a digit of the key's position, so the output counts visible keys by digit.
// The first call uses the low digit, position mod D, the second (position div 16) mod D; together
// they name every key within reach. The transpose, who sees each key, is read the same way off the
// gradient of the values, with one-hot incoming gradients that carry the query's own number of
// keys. The expected counts come from reference/visibility.h. Slots are told apart by an offset of
// the digit. Exact: a count is wrong unless it rounds to the expected integer.
CensusResult mask_census(Target& target, const Component& attention, const Parameters& parameters);

}  // namespace pairedhead
