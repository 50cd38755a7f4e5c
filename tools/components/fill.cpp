#include "tools/components/fill.h"

#include <cmath>

namespace pairedhead {

const std::vector<std::string>& fill_words() {
  static const std::vector<std::string> words = {"normal",   "sharp",  "tiny",
                                                 "integers", "powers", "constant"};
  return words;
}

Array filled(const std::string& fill, DType dtype, const Shape& shape, Random random) {
  Array array(dtype, shape);
  for (Index i = 0; i < array.size(); ++i) {
    double value = 0;
    if (fill == "normal") {
      value = random.normal();
    } else if (fill == "sharp") {
      value = 4 * random.normal();
    } else if (fill == "tiny") {
      value = 0x1p-10 * random.normal();
    } else if (fill == "integers") {
      value = static_cast<double>(random.integer(-2, 2));
    } else if (fill == "powers") {
      const double sign = random.integer(0, 1) == 0 ? 1 : -1;
      value = sign * std::ldexp(1.0, static_cast<int>(random.integer(-2, 2)));
    } else if (fill == "constant") {
      value = 1;
    } else {
      throw InputError(
          "fill: expected one of normal, sharp, tiny, integers, powers, constant, got \"" + fill +
          "\"");
    }
    array.set(i, value);
  }
  return array;
}

std::string simpler_fill(const std::string& fill) { return fill == "normal" ? "" : "normal"; }

}  // namespace pairedhead
