#include "tools/components/fill.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pairedhead {

const std::vector<std::string>& fill_words() {
  static const std::vector<std::string> words = {"normal",   "sharp",  "tiny",
                                                 "integers", "powers", "constant"};
  return words;
}

namespace {

using Draw = double (*)(Random&);

double draw_special(Random& random) {
  const double sign = random.integer(0, 1) == 0 ? 1 : -1;
  switch (random.integer(0, 15)) {
    case 0:
    case 1:
      return sign * 0;
    case 2:
      return sign * 0x1.fep127;  // the largest bf16
    case 3:
      return sign * 0x1p-126;  // the smallest normal
    case 4:
      return sign * 0x1p-133 * static_cast<double>(random.integer(1, 127));  // denormals of bf16
    case 5:
      return sign * 0x1p-149 * static_cast<double>(random.integer(1, 0xffff));  // and of fp32 alone
    case 6:
      return sign * std::numeric_limits<double>::infinity();
    case 7:
      return std::numeric_limits<double>::quiet_NaN();
    default:
      return random.normal();
  }
}

double draw_power(Random& random) {
  const double sign = random.integer(0, 1) == 0 ? 1 : -1;
  return sign * std::ldexp(1.0, static_cast<int>(random.integer(-2, 2)));
}

Draw draw_of(const std::string& fill) {
  if (fill == "normal") return [](Random& random) { return random.normal(); };
  if (fill == "sharp") return [](Random& random) { return 4 * random.normal(); };
  if (fill == "tiny") return [](Random& random) { return 0x1p-10 * random.normal(); };
  if (fill == "integers") {
    return [](Random& random) { return static_cast<double>(random.integer(-2, 2)); };
  }
  if (fill == "powers") return draw_power;
  if (fill == "constant") return [](Random&) { return 1.0; };
  if (fill == "special") return draw_special;
  throw InputError(
      "fill: expected one of normal, sharp, tiny, integers, powers, constant, special, got \"" +
      fill + "\"");
}

}  // namespace

Array filled(const std::string& fill, DType dtype, const Shape& shape, Random random) {
  const Draw draw = draw_of(fill);
  Array array(dtype, shape);
  // Each block has a stream of its own, so that the values do not depend on the number of threads.
  constexpr Index block = 4096;
  const Index blocks = (array.size() + block - 1) / block;
#pragma omp parallel for if (blocks > 8)
  for (Index b = 0; b < blocks; ++b) {
    Random stream = Random(random).split(static_cast<std::uint64_t>(b));
    const Index end = std::min(array.size(), (b + 1) * block);
    for (Index i = b * block; i < end; ++i) array.set(i, draw(stream));
  }
  return array;
}

std::string simpler_fill(const std::string& fill) { return fill == "normal" ? "" : "normal"; }

}  // namespace pairedhead
