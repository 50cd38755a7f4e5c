#include "tools/components/polar_rows.h"

#include <algorithm>
#include <cmath>

#include "reference/optim/optimizer.h"
#include "reference/optim/polar_express.h"
#include "reference/optim/variance_reduction.h"
#include "tools/components/fill.h"
#include "tools/components/row_plan.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

template <class Scalar>
using TensorsOf = std::map<std::string, Tensor<Scalar>>;

template <class Scalar>
Tensor<Scalar> input(const Arrays& arrays, const std::string& name) {
  return cast<Scalar>(to_tensor(arrays.at(name)));
}

Shape matrix_shape(const Parameters& p) {
  return {matrices_of(p) * p.integer("rows"), p.integer("columns")};
}
double elements(const Parameters& p) { return static_cast<double>(element_count(matrix_shape(p))); }

std::vector<Parameters> shrink_matrix(const Parameters& p) {
  auto smaller = smaller_values(p, "rows", 1);
  const auto narrower = smaller_values(p, "columns", p.has("iteration") ? p.integer("rows") : 1);
  smaller.insert(smaller.end(), narrower.begin(), narrower.end());
  if (p.has("matrices")) {
    const auto fewer = smaller_values(p, "matrices", 1);
    smaller.insert(smaller.end(), fewer.begin(), fewer.end());
  }
  if (p.has("fill")) {
    const std::string fill = simpler_fill(p.word("fill"));
    if (!fill.empty()) smaller.push_back(Parameters(p).set("fill", fill));
  }
  return smaller;
}

void check_matrix(const Parameters& p) {
  check_at_least(p, "rows", 1);
  check_at_least(p, "columns", 1);
  if (p.has("matrices")) check_at_least(p, "matrices", 1);
}

bool fused(const Parameters& p) {
  const Index value = p.integer("fused");
  if (value != 0 && value != 1) throw InputError("fused: expected 0 or 1, got " + p.word("fused"));
  return value == 1;
}

Component matrix_row(const std::string& name, const std::string& section,
                     const std::string& output) {
  Component component;
  component.name = name;
  component.spec_section = section;
  component.outputs = {{.name = output, .is_gradient = false, .dtype = DType::bf16}};
  component.shrink = shrink_matrix;
  component.check = check_matrix;
  component.output_shape = [](const Parameters& p, const OutputRow&) { return matrix_shape(p); };
  return component;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_normalise(const Arrays& arrays, Rounding rounding) {
  return {{"outputs/x", reference::polar_normalise(input<Scalar>(arrays, "direction"), rounding)}};
}

Component polar_normalise() {
  Component component = matrix_row("polar_normalise", "SPEC §6.1", "x");
  component.draw = [](Random& random, double size) {
    const auto most = 2 + static_cast<Index>(size * 40);
    return Parameters()
        .set("rows", random.integer(1, most))
        .set("columns", random.integer(1, most))
        .set("fill", draw_fill(random));
  };
  component.edges = {Parameters::parse("rows=1 columns=2 fill=normal"),
                     Parameters::parse("rows=16 columns=16 fill=normal"),
                     Parameters::parse("rows=40 columns=12 fill=normal"),
                     Parameters::parse("rows=12 columns=40 fill=tiny"),
                     Parameters::parse("rows=6 columns=4 fill=zero")};
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Array direction(DType::fp32, matrix_shape(p));
    if (p.word("fill") != "zero") {
      direction = filled(p.word("fill"), DType::fp32, matrix_shape(p), Random(seed));
    }
    return Arrays{{"direction", direction}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) {
    const Index rows = p.integer("rows"), columns = p.integer("columns");
    return Shape{std::min(rows, columns), std::max(rows, columns)};
  };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding rounding) {
    return evaluate_normalise<double>(arrays, rounding);
  };
  component.magnitude = [](const Parameters&, const Arrays& arrays) {
    return magnitudes(evaluate_normalise<Magnitude>(arrays, Rounding::exact()));
  };
  // A few integers or powers may be all zero or all the same.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    const std::string fill = p.word("fill");
    const bool few = p.integer("rows") * p.integer("columns") < 16;
    return fill == "zero" || (few && (fill == "integers" || fill == "powers"));
  };
  return component;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_iteration(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const auto iteration = static_cast<std::size_t>(p.integer("iteration"));
  return {
      {"outputs/x_next", reference::polar_iteration(input<Scalar>(arrays, "x"),
                                                    reference::polar_coefficients.at(iteration - 1),
                                                    fused(p), rounding)}};
}

Component polar_iteration() {
  Component component = matrix_row("polar_iteration", "SPEC §6.1", "x_next");
  component.draw = [](Random& random, double size) {
    const Index rows = random.integer(1, 2 + static_cast<Index>(size * 22));
    return Parameters()
        .set("rows", rows)
        .set("columns", random.integer(rows, rows + static_cast<Index>(size * 24)))
        .set("iteration", random.integer(1, 5))
        .set("fused", random.integer(0, 1));
  };
  component.edges = {Parameters::parse("rows=1 columns=1 iteration=1 fused=1"),
                     Parameters::parse("rows=16 columns=16 iteration=1 fused=1"),
                     Parameters::parse("rows=12 columns=40 iteration=2 fused=0"),
                     Parameters::parse("rows=16 columns=16 iteration=3 fused=1"),
                     Parameters::parse("rows=12 columns=40 iteration=4 fused=0"),
                     Parameters::parse("rows=12 columns=40 iteration=5 fused=0")};
  component.check = [](const Parameters& p) {
    check_matrix(p);
    check_at_least(p, "columns", p.integer("rows"));
    check_at_least(p, "iteration", 1);
    if (p.integer("iteration") > 5) {
      throw InputError("iteration: expected 1 to 5, got " + p.word("iteration"));
    }
    fused(p);
  };
  // Singular values up to about 1, as they are on the way.
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Array x = filled("normal", DType::bf16, matrix_shape(p), Random(seed));
    const double size = 0.6 / std::sqrt(static_cast<double>(p.integer("columns")));
    for (Index i = 0; i < x.size(); ++i) x.set(i, size * x.at(i));
    return Arrays{{"x", x}};
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding rounding) {
    return evaluate_iteration<double>(p, arrays, rounding);
  };
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    return magnitudes(evaluate_iteration<Magnitude>(p, arrays, Rounding::exact()));
  };
  // A single row has one singular value, which the polynomial may leave as good as where it was;
  // and so few elements may come out as they went in by chance.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("rows") == 1 || p.integer("rows") * p.integer("columns") < 4;
  };
  return component;
}

Component polar_express() {
  Component component = matrix_row("polar_express", "SPEC §6.1", "orthogonal");
  component.draw = [](Random& random, double size) {
    // In a row of two or three elements their noise, which five iterations have enlarged, does not
    // average out.
    const auto most = 8 + static_cast<Index>(size * 12);
    return Parameters()
        .set("rows", random.integer(8, most))
        .set("columns", random.integer(8, most))
        .set("fused", random.integer(0, 1));
  };
  component.edges = {Parameters::parse("rows=8 columns=8 fused=1"),
                     Parameters::parse("rows=16 columns=16 fused=1"),
                     Parameters::parse("rows=32 columns=8 fused=0"),
                     Parameters::parse("rows=20 columns=11 fused=0 matrices=3"),
                     Parameters::parse("rows=8 columns=24 fused=0")};
  component.check = [](const Parameters& p) {
    check_matrix(p);
    fused(p);
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    if (matrices_of(p) == 1) {
      return Arrays{{"direction", well_conditioned(matrix_shape(p), Random(seed))}};
    }
    const auto stacked = for_each_matrix(
        Tensor<double>(matrix_shape(p)), matrices_of(p),
        [&](const Tensor<double>& matrix, Index number) {
          const Random random = Random(seed).split(static_cast<std::uint64_t>(number));
          return to_tensor(well_conditioned(matrix.shape(), random));
        });
    return Arrays{{"direction", to_array(stacked, DType::fp32)}};
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding rounding) {
    const auto orthogonalise = [&](const Tensor<double>& matrix, Index number) {
      const Rounding own =
          number == 0 ? rounding : rounding.split(static_cast<std::uint64_t>(number));
      return reference::polar_express(matrix, fused(p), own);
    };
    return Values{{"outputs/orthogonal", for_each_matrix(input<double>(arrays, "direction"),
                                                         matrices_of(p), orthogonalise)}};
  };
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    const auto terms = [&](const Tensor<double>& matrix, Index) {
      return polar_express_terms(matrix, fused(p));
    };
    return Values{{"outputs/orthogonal",
                   for_each_matrix(input<double>(arrays, "direction"), matrices_of(p), terms)}};
  };
  // Whole products, though two of the three are symmetric.
  component.work = [](const Parameters& p, bool) {
    const auto m = static_cast<double>(std::min(p.integer("rows"), p.integer("columns")));
    const auto n = static_cast<double>(std::max(p.integer("rows"), p.integer("columns")));
    const auto matrices = static_cast<double>(matrices_of(p));
    return Work{.bytes = 2 * 2 * elements(p),
                .flops = 5 * matrices * (2 * 2 * m * m * n + 2 * m * m * m)};
  };
  return component;
}

template <class Scalar>
TensorsOf<Scalar> evaluate_variance(const Parameters& p, const Arrays& arrays, Rounding rounding) {
  const auto direction = input<Scalar>(arrays, "direction");
  const auto second_moment = input<Scalar>(arrays, "second_moment");
  auto result =
      matrices_of(p) == 1
          ? reference::variance_reduction(direction, second_moment, rounding)
          : reference::normuon_normalised(direction, matrices_of(p), second_moment, rounding);
  return {{"outputs/update", std::move(result.direction)},
          {"outputs/second_moment", std::move(result.second_moment)}};
}

Component variance_reduction() {
  Component component = matrix_row("variance_reduction", "SPEC §6.1", "update");
  component.outputs.push_back(
      {.name = "second_moment", .is_gradient = false, .dtype = DType::fp32});
  component.draw = [](Random& random, double size) {
    const auto most = 2 + static_cast<Index>(size * 40);
    return Parameters()
        .set("rows", random.integer(1, most))
        .set("columns", random.integer(1, most))
        .set("start", random.integer(0, 1));
  };
  component.edges = {Parameters::parse("rows=1 columns=2 start=1"),
                     Parameters::parse("rows=16 columns=16 start=1"),
                     Parameters::parse("rows=40 columns=12 start=0"),
                     Parameters::parse("rows=12 columns=40 start=0"),
                     Parameters::parse("rows=7 columns=20 start=0 matrices=3")};
  component.check = [](const Parameters& p) {
    check_matrix(p);
    if (p.integer("start") != 0 && p.integer("start") != 1) {
      throw InputError("start: expected 0 or 1, got " + p.word("start"));
    }
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    const Index rows = matrices_of(p) * p.integer("rows"), columns = p.integer("columns");
    Array direction = filled("normal", DType::bf16, {rows, columns}, random.split(1));
    Array second_moment(DType::fp32, {rows});  // zeros at the start
    const double mean = 1 / static_cast<double>(columns);
    for (Index i = 0; i < rows; ++i) {
      // Rows differ, as hidden units do.
      const double size = std::sqrt(mean) * std::exp2(static_cast<double>(random.integer(-3, 0)));
      for (Index j = i * columns; j < (i + 1) * columns; ++j) {
        direction.set(j, size * direction.at(j));
      }
      if (p.integer("start") == 0) second_moment.set(i, mean * (0.1 + random.uniform01()));
    }
    return Arrays{{"direction", direction}, {"second_moment", second_moment}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow& output) {
    const Shape shape = matrix_shape(p);
    return output.name == "update" ? shape : Shape{shape[0]};
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding rounding) {
    return evaluate_variance<double>(p, arrays, rounding);
  };
  component.magnitude = [](const Parameters& p, const Arrays& arrays) {
    return magnitudes(evaluate_variance<Magnitude>(p, arrays, Rounding::exact()));
  };
  // The directions once, a row's S in and out and its factor: the product with that is no work of
  // its own, the update reads the directions anyway.
  component.work = [](const Parameters& p, bool) {
    const double rows = elements(p) / static_cast<double>(p.integer("columns"));
    return Work{.bytes = 2 * elements(p) + 3 * 4 * rows};
  };
  // One column: every row has the same absolute value afterwards. One row comes out as it went in,
  // and so may two: both factors are near 1 where one is.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("columns") == 1 || p.integer("rows") <= 2;
  };
  return component;
}

}  // namespace

Index matrices_of(const Parameters& p) { return p.has("matrices") ? p.integer("matrices") : 1; }

Array well_conditioned(const Shape& shape, Random random) {
  Array matrix = filled("normal", DType::fp32, shape, random);
  const double diagonal = 4 * std::sqrt(static_cast<double>(std::max(shape[0], shape[1])));
  for (Index i = 0; i < std::min(shape[0], shape[1]); ++i) {
    const Index at = i * shape[1] + i;
    matrix.set(at, matrix.at(at) + diagonal);
  }
  return matrix;
}

Tensor<double> polar_express_terms(const Tensor<double>& direction, bool fused) {
  const auto& coefficients = reference::polar_coefficients;
  auto x = reference::polar_normalise(direction, Rounding::exact());
  for (std::size_t i = 0; i + 1 < coefficients.size(); ++i) {
    x = reference::polar_iteration(x, coefficients[i], fused, Rounding::exact());
  }
  const auto last =
      reference::polar_iteration(cast<Magnitude>(x), coefficients.back(), fused, Rounding::exact());
  const bool transposed = x.shape() != direction.shape();
  Tensor<double> terms(direction.shape());
  for (Index i = 0; i < terms.dim(0); ++i) {
    for (Index j = 0; j < terms.dim(1); ++j) {
      terms(i, j) = (transposed ? last(j, i) : last(i, j)).magnitude;
    }
  }
  return terms;
}

std::vector<Component> polar_rows() {
  return {polar_normalise(), polar_iteration(), polar_express(), variance_reduction()};
}

}  // namespace pairedhead
