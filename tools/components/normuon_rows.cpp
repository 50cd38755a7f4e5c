#include <algorithm>

#include "reference/optim/cautious_split.h"
#include "reference/optim/momentum.h"
#include "reference/optim/optimizer.h"
#include "tools/components/polar_rows.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

Shape matrix_shape(const Parameters& p) { return {p.integer("rows"), p.integer("columns")}; }

// What the next stage starts from: the target's own value of this one where it is given, else ours
// as it is stored.
Tensor<double> stage(const Arrays& arrays, const char* key, Tensor<double> ours,
                     Rounding& rounding) {
  const auto given = arrays.find(key);
  if (given != arrays.end()) return to_tensor(given->second);
  if (!rounding.is_exact()) return rounding.bf16(std::move(ours));
  for (double& value : ours.values()) value = round_to(DType::bf16, value);
  return ours;
}

// One output after the other, as a step makes them.
Values evaluate(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const Index matrices = p.integer("matrices");
  auto [moment, look_ahead] =
      reference::momentum_update(to_tensor(arrays.at("gradient")), to_tensor(arrays.at("moment")),
                                 arrays.at("momentum").at(0));
  const auto direction = stage(arrays, "outputs/direction", look_ahead, rounding);
  const auto computed = reference::normuon_orthogonal(direction, matrices, rounding.split(1));
  const auto orthogonal = stage(arrays, "outputs/orthogonal", computed, rounding);
  auto normalised = reference::normuon_normalised(
      orthogonal, matrices, to_tensor(arrays.at("second_moment")), rounding.split(2));
  const auto update = stage(arrays, "outputs/update", normalised.direction, rounding);

  const auto rates = reference::normuon_rates(
      matrix_shape(p),
      {.matrices = matrices,
       .learning_rate_multiplier = arrays.at("learning_rate_multiplier").at(0),
       .weight_decay_multiplier = arrays.at("weight_decay_multiplier").at(0)},
      arrays.at("learning_rate").at(0));
  Tensor<double> parameter(matrix_shape(p)), mantissa(matrix_shape(p));
  for (Index i = 0; i < parameter.size(); ++i) {
    const reference::SplitFloat moved = reference::cautious_split_update(
        {arrays.at("parameter").as<std::uint16_t>()[i],
         arrays.at("mantissa").as<std::uint16_t>()[i]},
        static_cast<float>(update[i]), static_cast<float>(rates.learning_rate),
        static_cast<float>(rates.weight_decay));
    parameter[i] = from_bf16_bits(moved.high);
    mantissa[i] = moved.low;
  }
  return {{"outputs/moment", std::move(moment)},
          {"outputs/direction", std::move(look_ahead)},
          {"outputs/orthogonal", computed},
          {"outputs/update", std::move(normalised.direction)},
          {"outputs/second_moment", std::move(normalised.second_moment)},
          {"outputs/parameter", std::move(parameter)},
          {"outputs/mantissa", std::move(mantissa)}};
}

Values evaluate_magnitude(const Parameters& p, const Arrays& arrays) {
  const Index matrices = p.integer("matrices");
  const Values exact = evaluate(p, arrays, Rounding::exact());
  Rounding rounding = Rounding::exact();
  const auto moved = reference::momentum_update(cast<Magnitude>(to_tensor(arrays.at("gradient"))),
                                                cast<Magnitude>(to_tensor(arrays.at("moment"))),
                                                arrays.at("momentum").at(0));
  const auto direction =
      stage(arrays, "outputs/direction", exact.at("outputs/direction"), rounding);
  const auto orthogonal =
      stage(arrays, "outputs/orthogonal", exact.at("outputs/orthogonal"), rounding);
  const auto normalised = reference::normuon_normalised(
      cast<Magnitude>(orthogonal), matrices, cast<Magnitude>(to_tensor(arrays.at("second_moment"))),
      rounding);
  Values values = magnitudes({{"outputs/moment", moved.moment},
                              {"outputs/direction", moved.direction},
                              {"outputs/update", normalised.direction},
                              {"outputs/second_moment", normalised.second_moment}});
  values["outputs/orthogonal"] =
      for_each_matrix(direction, matrices, [&](const Tensor<double>& matrix, Index) {
        return polar_express_terms(matrix, matrices > 1);
      });
  return values;
}

// Each of the matrices well conditioned, one below the other.
Tensor<double> stacked(const Parameters& p, Random random) {
  return for_each_matrix(
      Tensor<double>(matrix_shape(p)), p.integer("matrices"),
      [&](const Tensor<double>& matrix, Index) {
        return to_tensor(well_conditioned(matrix.shape(), random.split(random.bits())));
      });
}

Arrays draw_inputs(const Parameters& p, std::uint64_t seed) {
  Random random(seed);
  const auto one = [](DType dtype, double value) {
    return to_array(Tensor<double>({1}, value), dtype);
  };
  Tensor<double> parameter(matrix_shape(p)), mantissa(matrix_shape(p));
  for (Index i = 0; i < parameter.size(); ++i) {
    parameter[i] = 0.03 * random.normal();
    mantissa[i] = static_cast<double>(random.integer(0, 0xffff));
  }
  Tensor<double> second_moment({p.integer("rows")});
  if (p.integer("start") == 0) {
    for (double& mean : second_moment.values()) {
      mean = (0.1 + random.uniform01()) / static_cast<double>(p.integer("columns"));
    }
  }
  return {{"parameter", to_array(parameter, DType::bf16)},
          {"mantissa", to_array(mantissa, DType::uint16)},
          {"gradient", to_array(stacked(p, random.split(1)), DType::bf16)},
          {"moment", to_array(stacked(p, random.split(2)), DType::fp32)},
          {"second_moment", to_array(second_moment, DType::fp32)},
          {"momentum", one(DType::fp32, 0.85 + 0.1 * random.uniform01())},
          {"learning_rate", one(DType::fp64, 0.1 + 1.63 * random.uniform01())},
          {"learning_rate_multiplier", one(DType::fp64, random.integer(0, 1) ? 1 : 2)},
          {"weight_decay_multiplier", one(DType::fp64, random.integer(0, 1) ? 1 : 0.5)}};
}

void check_setting(const Parameters& p) {
  check_at_least(p, "rows", 1);
  check_at_least(p, "columns", 1);
  check_at_least(p, "matrices", 1);
  if (p.integer("rows") % p.integer("matrices") != 0) {
    throw InputError("matrices: expected a divisor of the " + p.word("rows") + " rows, got " +
                     p.word("matrices"));
  }
  if (p.integer("start") != 0 && p.integer("start") != 1) {
    throw InputError("start: expected 0 or 1, got " + p.word("start"));
  }
}

Component normuon_step() {
  Component component;
  component.name = "normuon_step";
  component.spec_section = "SPEC §6.1";
  const auto output = [](const char* name, DType dtype, bool bitwise) {
    return OutputRow{.name = name, .is_gradient = false, .dtype = dtype, .bitwise = bitwise};
  };
  component.outputs = {
      output("moment", DType::fp32, false),        output("direction", DType::bf16, false),
      output("orthogonal", DType::bf16, false),    output("update", DType::bf16, false),
      output("second_moment", DType::fp32, false), output("parameter", DType::bf16, true),
      output("mantissa", DType::uint16, true)};
  component.stages = {"outputs/direction", "outputs/orthogonal", "outputs/update"};
  component.draw = [](Random& random, double size) {
    const Index columns = random.integer(2, 2 + static_cast<Index>(size * 14));
    const bool bank = random.integer(0, 1) == 1;
    return Parameters()
        .set("rows", bank ? 4 * columns : random.integer(1, 4 * columns))
        .set("columns", columns)
        .set("matrices", bank ? Index{4} : Index{1})
        .set("start", random.integer(0, 1));
  };
  component.edges = {Parameters::parse("rows=24 columns=6 matrices=4 start=1"),
                     Parameters::parse("rows=48 columns=12 matrices=4 start=0"),
                     Parameters::parse("rows=48 columns=12 matrices=1 start=0")};
  component.shrink = [](const Parameters& p) {
    std::vector<Parameters> smaller;
    const Index columns = p.integer("columns"), rows = p.integer("rows");
    for (const Index fewer : {Index{2}, columns / 2, columns - 1}) {
      if (fewer < 2 || fewer >= columns) continue;
      smaller.push_back(
          Parameters(p)
              .set("columns", fewer)
              .set("rows", p.integer("matrices") == 4 ? 4 * fewer : std::min(rows, 4 * fewer)));
    }
    if (p.integer("matrices") == 1) {
      const auto fewer_rows = smaller_values(p, "rows", 1);
      smaller.insert(smaller.end(), fewer_rows.begin(), fewer_rows.end());
    }
    return smaller;
  };
  component.check = check_setting;
  component.inputs = draw_inputs;
  component.output_shape = [](const Parameters& p, const OutputRow& row) {
    return row.name == "second_moment" ? Shape{p.integer("rows")} : matrix_shape(p);
  };
  component.reference = evaluate;
  component.magnitude = evaluate_magnitude;
  return component;
}

}  // namespace

std::vector<Component> normuon_rows() { return {normuon_step()}; }

}  // namespace pairedhead
