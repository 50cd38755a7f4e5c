#include <algorithm>
#include <utility>

#include "gpu/kernels/adam.h"
#include "gpu/kernels/cautious_split.h"
#include "gpu/kernels/momentum.h"
#include "gpu/kernels/normuon.h"
#include "gpu/kernels/polar_express.h"
#include "gpu/kernels/variance_reduction.h"
#include "tools/components/polar_rows.h"
#include "tools/targets/gpu_case.h"

// The trainer keeps a step's gradients in fp32 and directions in bf16, tall matrices as they are
// stored; where a row's tensors are others, they are brought into that form on the host.

namespace pairedhead {
namespace {

// An input as fp32.
float* widened(GpuCase& c, const char* name) {
  const Array& array = c.inputs().at(name);
  std::vector<float> values;
  for (Index i = 0; i < array.size(); ++i) values.push_back(static_cast<float>(array.at(i)));
  return c.scratch(name, values);
}

// An fp32 input rounded to bf16.
__nv_bfloat16* rounded(GpuCase& c, const char* name) {
  const Array& array = c.inputs().at(name);
  std::vector<__nv_bfloat16> values;
  for (Index i = 0; i < array.size(); ++i) {
    values.push_back(__float2bfloat16(static_cast<float>(array.at(i))));
  }
  return c.scratch(name, values);
}

// Copies inputs to where a kernel works in place.
struct InPlace {
  const void* from;
  void* to;
  std::size_t bytes;
};
std::function<void(cudaStream_t)> copies(std::vector<InPlace> all) {
  return [all = std::move(all)](cudaStream_t stream) {
    for (const InPlace& copy : all) {
      CUDA_CHECK(cudaMemcpyAsync(copy.to, copy.from, copy.bytes, cudaMemcpyDeviceToDevice, stream));
    }
  };
}
InPlace updated(GpuCase& c, const std::string& input, const std::string& output) {
  return {c.at<std::byte>(input), c.at<std::byte>(output), c.inputs().at(input).bytes.size()};
}
InPlace updated(GpuCase& c, const std::string& input) {
  return updated(c, input, "outputs/" + input);
}

GpuLaunches momentum(GpuCase& c) {
  const Index count = c.inputs().at("gradient").size();
  const float* const gradient = widened(c, "gradient");
  const float* const mu = c.fp32("momentum");
  float* const moment = c.fp32("outputs/moment");
  float* const direction = c.fp32("outputs/direction");
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::momentum_update(count, gradient, mu, moment, direction, stream);
              },
          .backward = {},
          .start = copies({updated(c, "moment")})};
}

// In rows of the record's width where the count divides, else in one. Their factors are 1, for the
// row's direction is scaled already.
GpuLaunches cautious_split_update(GpuCase& c) {
  const Index count = c.inputs().at("direction").size();
  constexpr Index width = 768;
  const Index columns = count % width == 0 ? width : count, rows = count / columns;
  const float* const row_factor =
      c.scratch("row_factor", std::vector(static_cast<std::size_t>(rows), 1.0f));
  const auto direction = c.bf16("direction"), parameter = c.bf16("outputs/parameter");
  const auto mantissa = c.at<std::uint16_t>("outputs/mantissa");
  const float* const rate = c.fp32("learning_rate");
  const float* const decay = c.fp32("weight_decay");
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::cautious_split_update(rows, columns, direction, row_factor, rate, decay,
                                           parameter, mantissa, stream);
              },
          .backward = {},
          .start = copies({updated(c, "parameter"), updated(c, "mantissa")})};
}

// The row wants the parameter widened, whatever its storage.
void widen_parameter(GpuCase& c) {
  const Index count = c.inputs().at("parameter").size();
  const auto as_it_is = [=](const std::byte* from, std::byte* to) {
    std::copy_n(from, static_cast<std::size_t>(count) * sizeof(float), to);
  };
  c.convert("outputs/parameter", as_it_is, [=](const std::byte* from, std::byte* to) {
    const auto* stored = reinterpret_cast<const __nv_bfloat16*>(from);
    auto* values = reinterpret_cast<float*>(to);
    for (Index i = 0; i < count; ++i) values[i] = __bfloat162float(stored[i]);
  });
}

GpuLaunches adam_step(GpuCase& c) {
  const auto number = [&](const char* name) { return c.inputs().at(name).at(0); };
  const bool bf16 = c.inputs().at("parameter").dtype == DType::bf16;
  if (bf16) widen_parameter(c);
  const gpu::AdamTensor tensor = {.parameter = c.at<std::byte>("outputs/parameter"),
                                  .bf16 = bf16,
                                  .gradient = widened(c, "gradient"),
                                  .earlier = nullptr,
                                  .first_moment = c.fp32("outputs/first_moment"),
                                  .second_moment = c.fp32("outputs/second_moment"),
                                  .count = c.inputs().at("parameter").size()};
  const auto factors =
      c.scratch("factors", std::vector{gpu::adam_factors(
                               number("beta1"), number("beta2"), number("learning_rate"),
                               number("weight_decay"), static_cast<Index>(number("updates")))});
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::adam_update({&tensor, 1}, factors, stream);
              },
          .backward = {},
          .start = copies(
              {updated(c, "parameter"), updated(c, "first_moment"), updated(c, "second_moment")})};
}

gpu::MatrixFamily family_of(const GpuCase& c) {
  return {static_cast<int>(matrices_of(c.parameters())), c.extent("rows"), c.extent("columns")};
}

GpuLaunches polar_normalise(GpuCase& c) {
  const gpu::MatrixFamily family = family_of(c);
  const auto direction = rounded(c, "direction"), x = c.bf16("outputs/x");
  void* const workspace = c.scratch("workspace", gpu::polar_workspace_bytes(family));
  if (family.rows > family.columns) {  // the row's X has been transposed
    const auto transposed = [](std::int64_t rows, std::int64_t columns) {
      return [=](const std::byte* from, std::byte* to) {
        const auto* x = reinterpret_cast<const std::uint16_t*>(from);
        auto* y = reinterpret_cast<std::uint16_t*>(to);
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t j = 0; j < columns; ++j) y[j * rows + i] = x[i * columns + j];
        }
      };
    };
    c.convert("outputs/x", transposed(family.columns, family.rows),
              transposed(family.rows, family.columns));
  }
  return {.forward =
              [=](cudaStream_t stream) {
                gpu::polar_normalise(family, direction, x, workspace, stream);
              },
          .backward = {}};
}

GpuLaunches polar_iteration(GpuCase& c) {
  const gpu::MatrixFamily family = family_of(c);
  const auto coefficients =
      gpu::polar_coefficients()[static_cast<std::size_t>(c.extent("iteration") - 1)];
  const auto x = c.bf16("x"), next = c.bf16("outputs/x_next");
  void* const workspace = c.scratch("workspace", gpu::polar_workspace_bytes(family));
  return {.forward =
              [=, &algebra = c.algebra()](cudaStream_t stream) {
                gpu::polar_iteration(algebra, family, coefficients, x, next, workspace, stream);
              },
          .backward = {}};
}

GpuLaunches polar_express(GpuCase& c) {
  const gpu::MatrixFamily family = family_of(c);
  const auto direction = rounded(c, "direction"), orthogonal = c.bf16("outputs/orthogonal");
  const std::size_t bytes = static_cast<std::size_t>(family.count()) * sizeof *direction;
  auto* const overwritten = static_cast<__nv_bfloat16*>(c.scratch("overwritten", bytes));
  void* const workspace = c.scratch("workspace", gpu::polar_workspace_bytes(family));
  return {.forward =
              [=, &algebra = c.algebra()](cudaStream_t stream) {
                gpu::polar_express(algebra, family, overwritten, orthogonal, workspace, stream);
              },
          .backward = {},
          .start = copies({{direction, overwritten, bytes}})};
}

// What the trainer's update makes of directions and factors, which no trainer stores: it moves a
// parameter of -0 at a rate of -1, without decay, to the direction itself, bit by bit.
std::function<void(cudaStream_t)> normalised_direction(GpuCase& c, const gpu::MatrixFamily& family,
                                                       const __nv_bfloat16* orthogonal,
                                                       const float* row_factor,
                                                       __nv_bfloat16* update) {
  const auto count = static_cast<std::size_t>(family.count());
  const auto zeros = c.scratch("negative_zeros", std::vector<std::uint16_t>(count, 0x8000));
  const auto none = c.scratch("no_mantissa", std::vector<std::uint16_t>(count, 0));
  const float* const rates = c.scratch("bare_rates", std::vector{-1.0f, 0.0f});
  auto* const mantissa = static_cast<std::uint16_t*>(c.scratch("mantissa_of_update", 2 * count));
  return [=](cudaStream_t stream) {
    copies({{zeros, update, 2 * count}, {none, mantissa, 2 * count}})(stream);
    gpu::cautious_split_update(family.matrices * family.rows, family.columns, orthogonal,
                               row_factor, rates, rates + 1, update, mantissa, stream);
  };
}

float* room_for_factors(GpuCase& c, const gpu::MatrixFamily& family) {
  const auto rows = static_cast<std::size_t>(family.matrices * family.rows);
  return static_cast<float*>(c.scratch("row_factor", rows * sizeof(float)));
}

GpuLaunches variance_reduction(GpuCase& c) {
  const gpu::MatrixFamily family = family_of(c);
  const auto direction = c.bf16("direction");
  float* const second_moment = c.fp32("outputs/second_moment");
  float* const row_factor = room_for_factors(c, family);
  void* const workspace = c.scratch("workspace", gpu::variance_workspace_bytes(family));
  return {
      .forward =
          [=](cudaStream_t stream) {
            gpu::variance_reduction(family, direction, second_moment, row_factor, workspace,
                                    stream);
          },
      .backward = {},
      .start = copies({updated(c, "second_moment")}),
      .finish = normalised_direction(c, family, direction, row_factor, c.bf16("outputs/update"))};
}

// The stages of the trainer's step, with copies of what it overwrites.
GpuLaunches normuon_step(GpuCase& c) {
  const auto number = [&](const char* name) { return c.inputs().at(name).at(0); };
  const int matrices = c.extent("matrices");
  const gpu::MatrixFamily family =
      gpu::normuon_family(1, c.extent("rows"), c.extent("columns"), matrices);
  const gpu::NormuonRates rates = gpu::normuon_rates(
      c.extent("rows"), c.extent("columns"), matrices, number("learning_rate_multiplier"),
      number("weight_decay_multiplier"), number("learning_rate"));
  const float* const factors =
      c.scratch("rates", std::vector{rates.learning_rate, rates.weight_decay});
  const float* const gradient = widened(c, "gradient");
  const float* const mu = c.fp32("momentum");
  float* const moment = c.fp32("outputs/moment");
  float* const second_moment = c.fp32("outputs/second_moment");
  const auto direction = c.bf16("outputs/direction"), orthogonal = c.bf16("outputs/orthogonal");
  const auto parameter = c.bf16("outputs/parameter");
  const auto mantissa = c.at<std::uint16_t>("outputs/mantissa");
  const std::size_t bytes = static_cast<std::size_t>(family.count()) * sizeof *direction;
  auto* const overwritten = static_cast<__nv_bfloat16*>(c.scratch("overwritten", bytes));
  float* const row_factor = room_for_factors(c, family);
  void* const workspace = c.scratch("workspace", std::max(gpu::polar_workspace_bytes(family),
                                                          gpu::variance_workspace_bytes(family)));
  return {
      .forward =
          [=, &algebra = c.algebra()](cudaStream_t stream) {
            gpu::momentum_update(family.count(), gradient, mu, moment, direction, stream);
            copies({{direction, overwritten, bytes}})(stream);
            gpu::polar_express(algebra, family, overwritten, orthogonal, workspace, stream);
            gpu::variance_reduction(family, orthogonal, second_moment, row_factor, workspace,
                                    stream);
            gpu::cautious_split_update(family.matrices * family.rows, family.columns, orthogonal,
                                       row_factor, factors, factors + 1, parameter, mantissa,
                                       stream);
          },
      .backward = {},
      .start = copies({updated(c, "moment"), updated(c, "second_moment"), updated(c, "parameter"),
                       updated(c, "mantissa")}),
      .finish = normalised_direction(c, family, orthogonal, row_factor, c.bf16("outputs/update"))};
}

}  // namespace

GpuCalls gpu_optimizer_calls() {
  return {{"momentum", momentum},
          {"cautious_split_update", cautious_split_update},
          {"adam_step", adam_step},
          {"polar_normalise", polar_normalise},
          {"polar_iteration", polar_iteration},
          {"polar_express", polar_express},
          {"variance_reduction", variance_reduction},
          {"normuon_step", normuon_step}};
}

}  // namespace pairedhead
