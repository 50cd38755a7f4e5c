#include "tools/components/fill.h"

#include <algorithm>
#include <cmath>

namespace pairedhead {

const std::vector<std::string>& fill_words() {
  static const std::vector<std::string> words = {"normal",   "sharp",  "tiny",
                                                 "integers", "powers", "constant"};
  return words;
}

namespace {

using Draw = double (*)(Random&);

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
  throw InputError("fill: expected one of normal, sharp, tiny, integers, powers, constant, got \"" +
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
