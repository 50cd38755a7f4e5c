#pragma once

#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "tools/verdict/verdict.h"

namespace pairedhead {

// What became of one case of a golden file.
struct Comparison {
  std::string name;
  std::string component;
  Verdict verdict;                  // over the outputs that were given; SKIPPED if there were none
  std::vector<std::string> absent;  // outputs of the golden that were not given
};

// Judges the outputs of `yours` case by case, by name, with the ratios that verify would give: with
// the golden's own scale, or where it has none with the scale that verify computes. Passes what
// verify would pass. Outputs may be
// given in a wider type than the component's; ratio rows are then stored in the component's first.
// Throws InputError on a case or an output that the golden does not know, on another shape, and if
// nothing at all was given.
std::vector<Comparison> compare(const std::vector<GoldenCase>& golden,
                                const std::vector<BatchCase>& yours);

}  // namespace pairedhead
