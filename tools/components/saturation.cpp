#include "tools/components/saturation.h"

namespace pairedhead {

bool all_saturated(const Tensor<double>& a, const Tensor<double>& w, Index skipped) {
  constexpr double saturated = 36;
  for (Index t = skipped; t < a.dim(0); ++t) {
    for (Index h = 0; h < w.dim(0); ++h) {
      double logit = 0;
      for (Index c = 0; c < w.dim(1); ++c) logit += a(t, c) * w(h, c);
      if (logit < saturated) return false;
    }
  }
  return a.dim(0) > skipped;
}

bool may_be_saturated(const Parameters& parameters, const OutputRow& row) {
  return row.name == "w" && parameters.word("fill") == "sharp" && parameters.integer("T") <= 4;
}

}  // namespace pairedhead
