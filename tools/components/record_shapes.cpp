#include "tools/components/record_shapes.h"

#include <algorithm>
#include <cmath>

#include "reference/random.h"

namespace pairedhead {

std::string RecordShape::name() const {
  return "T=" + std::to_string(tokens) + (paired ? " paired" : " plain") +
         " window=" + std::to_string(window);
}

const std::vector<RecordShape>& record_shapes() {
  static const std::vector<RecordShape> shapes = {
      {16384, true, 128, 128, 0.052, 0.247},  {16384, false, 128, 128, 0.052, 0.247},
      {16384, false, 384, 128, 0.062, 0.267}, {32768, true, 384, 128, 0.117, 0.444},
      {32768, false, 384, 128, 0.111, 0.434}, {32768, false, 896, 128, 0.131, 0.483},
      {49152, true, 640, 256, 0.192, 0.777},  {49152, false, 640, 256, 0.173, 0.728},
      {49152, false, 1408, 256, 0.197, 0.773}};
  return shapes;
}

Parameters record_parameters(const RecordShape& shape, std::vector<Index> documents) {
  while (static_cast<Index>(documents.size()) + 1 < shape.entries) documents.push_back(0);
  Parameters parameters;
  parameters.set("T", shape.tokens)
      .set("H", 6)
      .set("D", 128)
      .set("documents", documents)
      .set("window", shape.window)
      .set("softmax_scale", std::string("0.1"))
      .set("fill", std::string("normal"));
  if (shape.paired) parameters.set("pairing", std::string("strided"));
  return parameters;
}

std::vector<Index> typical_documents(Index tokens, std::uint64_t seed) {
  Random random(seed);
  std::vector<Index> documents;
  for (Index left = tokens; left > 0; left -= documents.back()) {
    const auto length = static_cast<Index>(-600 * std::log(1 - random.uniform01()));
    documents.push_back(std::min(left, std::clamp<Index>(length, 1, 2048)));
  }
  return documents;
}

}  // namespace pairedhead
