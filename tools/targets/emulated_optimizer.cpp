#include "tools/targets/emulated_optimizer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/fp8.h"
#include "gpu/emulated/optimizer.h"
#include "gpu/emulated/polar.h"
#include "tools/components/polar_rows.h"

namespace pairedhead {
namespace {

using gpu::emulated::Bf16Matrix;

const std::uint16_t* bits(const Arrays& arrays, const char* name) {
  return arrays.at(name).as<std::uint16_t>();
}
std::uint16_t* bits(Arrays& arrays, const char* name) {
  return arrays.at(name).as<std::uint16_t>();
}
const float* floats(const Arrays& arrays, const char* name) { return arrays.at(name).as<float>(); }
float* floats(Arrays& arrays, const char* name) { return arrays.at(name).as<float>(); }

int integer(const Parameters& parameters, const char* name) {
  return static_cast<int>(parameters.integer(name));
}

std::uint64_t order_seed(const Array& array) {
  return XXH3_64bits(array.bytes.data(), array.bytes.size());
}

// An in-place kernel's buffer starts as the input.
void start_as(const Arrays& inputs, const char* input, Arrays& outputs, const char* output) {
  outputs.at(output).bytes = inputs.at(input).bytes;
}

void put(const Bf16Matrix& values, Arrays& outputs, const char* output) {
  std::copy(values.begin(), values.end(), bits(outputs, output));
}

void quantise_fp8(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  gpu::emulated::quantise_fp8(bits(inputs, "x"), inputs.at("x").size(), *floats(inputs, "scale"),
                              outputs.at("outputs/x_e4m3").as<std::uint8_t>(),
                              outputs.at("outputs/x_e5m2").as<std::uint8_t>());
}

void momentum(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  start_as(inputs, "moment", outputs, "outputs/moment");
  gpu::emulated::momentum(bits(inputs, "gradient"), floats(outputs, "outputs/moment"),
                          floats(outputs, "outputs/direction"), inputs.at("gradient").size(),
                          *floats(inputs, "momentum"));
}

void cautious_split_update(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  start_as(inputs, "parameter", outputs, "outputs/parameter");
  start_as(inputs, "mantissa", outputs, "outputs/mantissa");
  gpu::emulated::cautious_split_update(
      bits(outputs, "outputs/parameter"), bits(outputs, "outputs/mantissa"),
      bits(inputs, "direction"), inputs.at("direction").size(), *floats(inputs, "learning_rate"),
      *floats(inputs, "weight_decay"));
}

template <class Stored>
void adam_stored_as(const Arrays& inputs, Arrays& outputs) {
  const gpu::emulated::AdamProblem problem = {
      .beta1 = inputs.at("beta1").at(0),
      .beta2 = inputs.at("beta2").at(0),
      .learning_rate = inputs.at("learning_rate").at(0),
      .weight_decay = inputs.at("weight_decay").at(0),
      .updates = static_cast<int>(inputs.at("updates").at(0))};
  start_as(inputs, "first_moment", outputs, "outputs/first_moment");
  start_as(inputs, "second_moment", outputs, "outputs/second_moment");
  Array parameter = inputs.at("parameter");
  gpu::emulated::adam_step(problem, parameter.as<Stored>(), inputs.at("gradient").as<Stored>(),
                           floats(outputs, "outputs/first_moment"),
                           floats(outputs, "outputs/second_moment"), parameter.size());
  Array& widened = outputs.at("outputs/parameter");
  for (Index i = 0; i < parameter.size(); ++i) widened.set(i, parameter.at(i));
}

void adam_step(const Parameters&, const Arrays& inputs, Arrays& outputs) {
  if (inputs.at("parameter").dtype == DType::bf16) {
    adam_stored_as<std::uint16_t>(inputs, outputs);
  } else {
    adam_stored_as<float>(inputs, outputs);
  }
}

void polar_normalise(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  put(gpu::emulated::polar_normalise(floats(inputs, "direction"), integer(parameters, "rows"),
                                     integer(parameters, "columns"),
                                     order_seed(inputs.at("direction"))),
      outputs, "outputs/x");
}

void polar_iteration(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const Array& x = inputs.at("x");
  const Bf16Matrix start(x.as<std::uint16_t>(), x.as<std::uint16_t>() + x.size());
  put(gpu::emulated::polar_iteration(
          start, integer(parameters, "rows"), integer(parameters, "columns"),
          integer(parameters, "iteration") - 1, integer(parameters, "fused") != 0, order_seed(x)),
      outputs, "outputs/x_next");
}

// Where matrices stand one below the other: the first element of each.
std::vector<Index> matrices_in(const Parameters& parameters) {
  const Index count = parameters.integer("rows") * parameters.integer("columns");
  std::vector<Index> firsts;
  for (Index i = 0; i < matrices_of(parameters); ++i) firsts.push_back(i * count);
  return firsts;
}

void polar_express(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  for (const Index first : matrices_in(parameters)) {
    const Bf16Matrix orthogonal = gpu::emulated::polar_express(
        floats(inputs, "direction") + first, integer(parameters, "rows"),
        integer(parameters, "columns"), integer(parameters, "fused") != 0,
        order_seed(inputs.at("direction")));
    std::copy(orthogonal.begin(), orthogonal.end(), bits(outputs, "outputs/orthogonal") + first);
  }
}

void variance_reduction(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  start_as(inputs, "direction", outputs, "outputs/update");
  start_as(inputs, "second_moment", outputs, "outputs/second_moment");
  const int rows = integer(parameters, "rows"), columns = integer(parameters, "columns");
  for (const Index first : matrices_in(parameters)) {
    gpu::emulated::variance_reduction(bits(outputs, "outputs/update") + first,
                                      floats(outputs, "outputs/second_moment") + first / columns,
                                      rows, columns, order_seed(inputs.at("direction")));
  }
}

void normuon_step(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const int rows = integer(parameters, "rows"), columns = integer(parameters, "columns");
  const int matrices = integer(parameters, "matrices"), each = rows / matrices;
  const Index count = inputs.at("gradient").size();

  start_as(inputs, "moment", outputs, "outputs/moment");
  std::vector<float> direction(static_cast<std::size_t>(count));
  gpu::emulated::momentum(bits(inputs, "gradient"), floats(outputs, "outputs/moment"),
                          direction.data(), count, *floats(inputs, "momentum"));
  for (Index i = 0; i < count; ++i) {
    float& value = direction[static_cast<std::size_t>(i)];
    bits(outputs, "outputs/direction")[i] = gpu::emulated::to_bf16(value);
    value = gpu::emulated::through_bf16(value);
  }

  start_as(inputs, "second_moment", outputs, "outputs/second_moment");
  for (int first = 0; first < rows; first += each) {
    const Index offset = Index{first} * columns;
    const auto orthogonal = gpu::emulated::polar_express(
        direction.data() + offset, each, columns, matrices > 1, order_seed(inputs.at("gradient")));
    std::copy(orthogonal.begin(), orthogonal.end(), bits(outputs, "outputs/orthogonal") + offset);
    std::uint16_t* update = bits(outputs, "outputs/update") + offset;
    std::copy(orthogonal.begin(), orthogonal.end(), update);
    gpu::emulated::variance_reduction(update, floats(outputs, "outputs/second_moment") + first,
                                      each, columns, order_seed(inputs.at("moment")));
  }

  start_as(inputs, "parameter", outputs, "outputs/parameter");
  start_as(inputs, "mantissa", outputs, "outputs/mantissa");
  const double eta = 0.023 * inputs.at("learning_rate").at(0);
  const double shape = std::sqrt(std::max(1.0, static_cast<double>(rows) / columns));
  gpu::emulated::cautious_split_update(
      bits(outputs, "outputs/parameter"), bits(outputs, "outputs/mantissa"),
      bits(outputs, "outputs/update"), count,
      static_cast<float>(eta * shape * inputs.at("learning_rate_multiplier").at(0)),
      static_cast<float>(eta * 1.2 * inputs.at("weight_decay_multiplier").at(0)));
}

}  // namespace

const std::map<std::string, EmulatedRun>& emulated_optimizer_runs() {
  static const std::map<std::string, EmulatedRun> runs = {
      {"adam_step", adam_step},
      {"cautious_split_update", cautious_split_update},
      {"momentum", momentum},
      {"normuon_step", normuon_step},
      {"polar_express", polar_express},
      {"polar_iteration", polar_iteration},
      {"polar_normalise", polar_normalise},
      {"quantise_fp8", quantise_fp8},
      {"variance_reduction", variance_reduction}};
  return runs;
}

}  // namespace pairedhead
