#pragma once

#include <string>
#include <vector>

#include "golden/array.h"
#include "reference/random.h"

namespace pairedhead {

// How a tensor of activations is filled. Every value is exactly representable in its dtype.
//   normal    about standard normal
//   sharp     four times that: softmax dominated by a few keys
//   tiny      2^-10 times that: a uniform softmax, gradients near the bottom of the scale
//   integers  -2 ... 2: products and short sums are exact in fp32
//   powers    plus or minus a power of two, 2^-2 ... 2^2
//   constant  all ones: equal scores
//   special   normal, and half of them zeros of both signs, denormals, the largest, infinities, NaN
Array filled(const std::string& fill, DType dtype, const Shape& shape, Random random);

// The words that `filled` knows and every component can take, the most ordinary first; "special" is
// not among them. Throws InputError in filled on others.
const std::vector<std::string>& fill_words();

// The fill one step simpler for shrinking: "normal", or "" if it is that already.
std::string simpler_fill(const std::string& fill);

}  // namespace pairedhead
