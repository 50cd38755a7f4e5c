#include <gtest/gtest.h>

#include <vector>

#include "gpu/device_buffer.h"
#include "gpu/emulated/bf16.h"
#include "gpu/kernels/adam.h"
#include "gpu/kernels/cautious_split.h"
#include "gpu/kernels/gradient_sum.h"
#include "gpu/kernels/momentum.h"
#include "gpu/kernels/polar_express.h"
#include "gpu/kernels/variance_reduction.h"
#include "reference/optim/cautious_split.h"
#include "reference/random.h"
#include "tests/gpu/device_fixture.h"

// The optimizers' kernels where their rows do not reach: addresses that allow no vectors, many
// parameters in a launch, the record's matrices.

namespace pairedhead::gpu {
namespace {

using Floats = std::vector<float>;
using Halves = std::vector<std::uint16_t>;

Floats normal(std::int64_t count, std::uint64_t seed, double size = 1) {
  Random random(seed);
  Floats values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(size * random.normal()));
  }
  return values;
}
Halves rounded(const Floats& values) {
  Halves halves;
  for (const float value : values) halves.push_back(emulated::to_bf16(value));
  return halves;
}

// An array on the device, `shift` elements behind an address that allows vectors, between guards.
template <class T>
class DeviceArray {
 public:
  DeviceArray(const std::vector<T>& values, int shift, cudaStream_t stream)
      : shift_(static_cast<std::size_t>(shift)), count_(values.size()), stream_(stream) {
    std::vector<T> all(shift_);
    all.insert(all.end(), values.begin(), values.end());
    buffer_.reset(all.data(), all.size() * sizeof(T), stream);
    CUDA_CHECK(cudaStreamSynchronize(stream));
  }
  template <class As = T>
  As* data() const {
    return reinterpret_cast<As*>(buffer_.as<T>() + shift_);
  }
  std::vector<T> values() const {
    std::vector<T> all(shift_ + count_);
    buffer_.download(all.data(), stream_);
    EXPECT_EQ(buffer_.damage(stream_), std::nullopt);
    for (std::size_t i = 0; i < shift_; ++i) EXPECT_EQ(all[i], T{}) << "before the array";
    return {all.begin() + static_cast<std::ptrdiff_t>(shift_), all.end()};
  }

 private:
  GuardedBuffer buffer_{"array"};
  std::size_t shift_, count_;
  cudaStream_t stream_;
};

class CudaOptimizerKernels : public DeviceFixture {};

// 8 elements a thread and a tail, or one by one: the same bits.
TEST_F(CudaOptimizerKernels, AnAddressChangesNoBit) {
  const Stream stream;
  constexpr std::int64_t count = 1003;
  struct Result {
    Floats moment, direction, sum;
    Halves parameter, mantissa;
    bool operator==(const Result&) const = default;
  };
  const auto run = [&](int shift) {
    const DeviceArray<float> gradient(normal(count, 1), shift, stream);
    const DeviceArray<float> moment(normal(count, 2), shift, stream);
    const DeviceArray<float> direction(Floats(count), shift, stream);
    const DeviceArray<float> sum(normal(count, 3), shift, stream);
    const DeviceArray<std::uint16_t> parameter(rounded(normal(count, 4)), shift, stream);
    const DeviceArray<std::uint16_t> mantissa(rounded(normal(count, 5)), shift, stream);
    const DeviceArray<std::uint16_t> update(rounded(normal(count, 6)), shift, stream);
    const DeviceArray<float> numbers({0.9f, 0.046f, 0.0276f}, 0, stream);
    const DeviceArray<float> factor({1}, 0, stream);
    momentum_update(count, gradient.data(), numbers.data(), moment.data(), direction.data(),
                    stream);
    cautious_split_update(1, count, update.data<__nv_bfloat16>(), factor.data(), numbers.data() + 1,
                          numbers.data() + 2, parameter.data<__nv_bfloat16>(), mantissa.data(),
                          stream);
    add_gradients(count, gradient.data(), direction.data(), sum.data(), sum.data(), stream);
    return Result{moment.values(), direction.values(), sum.values(), parameter.values(),
                  mantissa.values()};
  };
  const Result aligned = run(0);
  EXPECT_NE(aligned.parameter, rounded(normal(count, 4)));
  for (const int shift : {1, 4, 7}) EXPECT_TRUE(run(shift) == aligned) << "shift " << shift;
}

// Rows of eight are moved in vectors, rows of seven and of one cannot be; each has its own factor.
TEST_F(CudaOptimizerKernels, ARowOfTheUpdateHasItsOwnFactor) {
  const Stream stream;
  constexpr std::int64_t rows = 35;
  for (const std::int64_t columns : {1, 7, 8, 24}) {
    const std::int64_t count = rows * columns;
    const Halves before = rounded(normal(count, 1)), directions = rounded(normal(count, 2));
    Floats factors;
    for (const std::uint16_t half : rounded(normal(rows, 3))) {
      factors.push_back(emulated::from_bf16(half));
    }
    const DeviceArray<std::uint16_t> parameter(before, 0, stream);
    const DeviceArray<std::uint16_t> mantissa(Halves(before.size()), 0, stream);
    const DeviceArray<std::uint16_t> direction(directions, 0, stream);
    const DeviceArray<float> factor(factors, 0, stream), rates({0.046f, 0.0276f}, 0, stream);
    cautious_split_update(rows, columns, direction.data<__nv_bfloat16>(), factor.data(),
                          rates.data(), rates.data() + 1, parameter.data<__nv_bfloat16>(),
                          mantissa.data(), stream);
    const Halves high = parameter.values(), low = mantissa.values();
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const float o = emulated::from_bf16(emulated::to_bf16(
          emulated::from_bf16(directions[at]) * factors[static_cast<std::size_t>(i / columns)]));
      const reference::SplitFloat wanted =
          reference::cautious_split_update({before[at], 0}, o, 0.046f, 0.0276f);
      ASSERT_EQ((reference::SplitFloat{high[at], low[at]}), wanted)
          << columns << " columns, element " << i;
    }
  }
}

TEST_F(CudaOptimizerKernels, RefuseMoreElementsThanTheUpdateCounts) {
  EXPECT_THROW(cautious_split_update(std::int64_t{1} << 22, 1024, nullptr, nullptr, nullptr,
                                     nullptr, nullptr, nullptr, nullptr),
               std::invalid_argument);
}

TEST_F(CudaOptimizerKernels, FourGradientsAreSummedInPairs) {
  const Stream stream;
  constexpr std::int64_t count = 517;
  std::vector<Halves> gradients;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) gradients.push_back(rounded(normal(count, seed)));
  std::vector<DeviceArray<std::uint16_t>> on_device;
  for (const Halves& gradient : gradients) on_device.emplace_back(gradient, 0, stream);
  const DeviceArray<float> sum(Floats(count), 0, stream);
  const auto bf16 = [&](std::size_t i) { return on_device[i].data<__nv_bfloat16>(); };
  add_gradients(count, bf16(0), bf16(1), nullptr, sum.data(), stream);
  add_gradients(count, bf16(2), bf16(3), sum.data(), sum.data(), stream);
  Floats wanted;
  for (std::size_t i = 0; i < count; ++i) {
    const auto g = [&](std::size_t which) { return emulated::from_bf16(gradients[which][i]); };
    wanted.push_back((g(0) + g(1)) + (g(2) + g(3)));
  }
  EXPECT_EQ(sum.values(), wanted);
}

// More parameters than one launch takes, of very different sizes, some at odd addresses: each as if
// it were alone.
TEST_F(CudaOptimizerKernels, AdamMovesManyParametersAsEachAlone) {
  const Stream stream;
  struct Parameter {
    DeviceArray<std::uint16_t> bf16;
    DeviceArray<float> fp32, gradient, earlier, first, second;
  };
  const auto make = [&](int i) {
    const std::int64_t count = i % 7 == 0 ? 40000 + i : 1 + 37 * i;
    const int shift = i % 3;
    const auto seed = static_cast<std::uint64_t>(10 * i);
    Floats squares = normal(count, seed + 4, 1e-3);
    for (float& value : squares) value *= value;
    return Parameter{{rounded(normal(count, seed, 0.05)), shift, stream},
                     {normal(count, seed, 0.05), shift, stream},
                     {normal(count, seed + 1, 1e-3), shift, stream},
                     {normal(count, seed + 2, 1e-3), shift, stream},
                     {normal(count, seed + 3, 1e-3), shift, stream},
                     {squares, shift, stream}};
  };
  constexpr int parameters = 30;
  std::vector<Parameter> together, alone;
  std::vector<AdamTensor> tensors;
  std::vector<AdamFactors> factors;
  const auto tensor_of = [](const Parameter& p, bool bf16, bool earlier) {
    return AdamTensor{.parameter = bf16 ? p.bf16.data<void>() : p.fp32.data<void>(),
                      .bf16 = bf16,
                      .gradient = p.gradient.data(),
                      .earlier = earlier ? p.earlier.data() : nullptr,
                      .first_moment = p.first.data(),
                      .second_moment = p.second.data(),
                      .count = static_cast<std::int64_t>(p.gradient.values().size())};
  };
  const auto is_bf16 = [](int i) { return i % 4 != 1; };
  for (int i = 0; i < parameters; ++i) {
    together.push_back(make(i));
    alone.push_back(make(i));
    factors.push_back(adam_factors(0.9, 0.99, 0.008 * (i + 1), 0.75, i + 1));
  }
  for (int i = 0; i < parameters; ++i) {
    tensors.push_back(tensor_of(together[static_cast<std::size_t>(i)], is_bf16(i), i % 2 == 0));
  }
  DeviceMemory on_device(factors.size() * sizeof factors[0]);
  CUDA_CHECK(
      cudaMemcpy(on_device.data(), factors.data(), on_device.bytes(), cudaMemcpyHostToDevice));
  const auto* const all_factors = reinterpret_cast<const AdamFactors*>(on_device.data());
  adam_update(tensors, all_factors, stream);
  for (int i = 0; i < parameters; ++i) {
    const Parameter& one = alone[static_cast<std::size_t>(i)];
    const Parameter& same = together[static_cast<std::size_t>(i)];
    const AdamTensor tensor = tensor_of(one, is_bf16(i), i % 2 == 0);
    adam_update({&tensor, 1}, all_factors + i, stream);
    EXPECT_EQ(same.bf16.values(), one.bf16.values()) << "parameter " << i;
    EXPECT_EQ(same.fp32.values(), one.fp32.values()) << "parameter " << i;
    EXPECT_EQ(same.first.values(), one.first.values()) << "parameter " << i;
    EXPECT_EQ(same.second.values(), one.second.values()) << "parameter " << i;
    EXPECT_NE(same.first.values(), make(i).first.values()) << "parameter " << i;
  }
}

// SPEC §6.1.4 wants A and B exactly symmetric; nothing mirrors them here.
TEST_F(CudaOptimizerKernels, ProductsOfPolarExpressAreSymmetric) {
  const Stream stream;
  LinearAlgebra algebra;
  for (const MatrixFamily& family : {MatrixFamily{2, 768, 768}, MatrixFamily{2, 3072, 768},
                                     MatrixFamily{3, 9, 7}, MatrixFamily{3, 7, 9}}) {
    const Floats values = normal(family.count(), 3, 0.6 / static_cast<double>(family.rows));
    const DeviceArray<std::uint16_t> x(rounded(values), 0, stream);
    const DeviceArray<std::uint16_t> result(Halves(values.size()), 0, stream);
    const std::int64_t m = std::min(family.rows, family.columns);
    const DeviceArray<std::uint16_t> workspace(Halves(polar_workspace_bytes(family) / 2), 0,
                                               stream);
    polar_iteration(algebra, family, polar_coefficients()[0], x.data<__nv_bfloat16>(),
                    result.data<__nv_bfloat16>(), workspace.data(), stream);
    const Halves products = workspace.values();
    for (std::int64_t matrix = 0; matrix < 2 * family.matrices; ++matrix) {
      const std::uint16_t* const a = products.data() + matrix * m * m;
      for (std::int64_t i = 0; i < m; ++i) {
        ASSERT_NE(a[i * m + i], 0) << "matrix " << matrix;
        for (std::int64_t j = 0; j < i; ++j) {
          ASSERT_EQ(a[i * m + j], a[j * m + i]) << "matrix " << matrix << ", " << i << ", " << j;
        }
      }
    }
  }
}

TEST_F(CudaOptimizerKernels, RefuseAFamilyWithoutElements) {
  for (const MatrixFamily& family :
       {MatrixFamily{0, 4, 4}, MatrixFamily{1, 0, 4}, MatrixFamily{1, 4, 0}}) {
    EXPECT_THROW(polar_normalise(family, nullptr, nullptr, nullptr, nullptr),
                 std::invalid_argument);
    EXPECT_THROW(variance_reduction(family, nullptr, nullptr, nullptr, nullptr, nullptr),
                 std::invalid_argument);
  }
}

}  // namespace
}  // namespace pairedhead::gpu
