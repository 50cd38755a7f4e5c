#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "gpu/emulated/bf16.h"
#include "gpu/kernels/cautious_split.h"
#include "gpu/kernels/momentum.h"
#include "gpu/kernels/polar_express.h"
#include "gpu/kernels/variance_reduction.h"
#include "gpu/optimizer.h"
#include "reference/optim/cautious_split.h"
#include "reference/optim/optimizer.h"
#include "reference/random.h"
#include "reference/schedule.h"
#include "tests/gpu/device_fixture.h"

namespace pairedhead::gpu {
namespace {

using Bytes = std::vector<std::byte>;
using Values = std::map<std::string, std::vector<float>>;  // by parameter

// The micro configuration with its optimizer on one rank: 6 + 2 steps, split after step 5.
class Bench {
 public:
  Bench() {
    CUDA_CHECK(cudaMemsetAsync(memory_.data(), 0, memory_.bytes(), stream));
    Random random(7);
    for (const ParameterPlace& place : layout.places()) {
      std::vector<float> values;
      for (std::int64_t i = 0; i < place.count; ++i) {
        const auto value = static_cast<float>(0.05 * random.normal());
        values.push_back(place.bf16() ? emulated::through_bf16(value) : value);
      }
      put_parameter(place, values);
    }
  }

  // Gradients of a step, all of them normal; embed has some too, which are not to be used.
  Values draw_gradients(Index step) const {
    Random random(static_cast<std::uint64_t>(100 + step));
    Values gradients;
    for (const ParameterPlace& place : layout.places()) {
      for (std::int64_t i = 0; i < place.count; ++i) {
        gradients[place.info.name].push_back(static_cast<float>(1e-3 * random.normal()));
      }
    }
    return gradients;
  }
  void put_gradients(const Values& gradients) const {
    for (const ParameterPlace& place : layout.places()) {
      upload(gradient(place), gradients.at(place.info.name));
    }
  }

  void step(Index step, const Values& gradients) {
    put_gradients(gradients);
    optimizer.prepare_step(step, stream);
    optimizer.update(algebra, parameters, sums, stream);
  }

  float* gradient(const ParameterPlace& place) const {
    return (place.bf16() ? sums.of_bf16 : sums.of_fp32) + place.offset;
  }

  std::vector<float> parameter(const ParameterPlace& place) const {
    if (!place.bf16()) return download<float>(parameters.vector(place), place.count);
    std::vector<float> values;
    for (const auto bits : download<std::uint16_t>(parameters.matrix(place), place.count)) {
      values.push_back(emulated::from_bf16(bits));
    }
    return values;
  }
  template <class T = float>
  std::vector<T> state(const std::string& name) const {
    for (const StateTensor& tensor : optimizer.state()) {
      if (tensor.name == name) return download<T>(tensor.data, element_count(tensor.shape));
    }
    ADD_FAILURE() << "no state " << name;
    return {};
  }

  // Parameters and state, bit by bit.
  std::map<std::string, Bytes> everything() const {
    std::map<std::string, Bytes> all;
    for (const ParameterPlace& place : layout.places()) {
      const auto values = parameter(place);
      const auto* const begin = reinterpret_cast<const std::byte*>(values.data());
      all[place.info.name] = Bytes(begin, begin + values.size() * sizeof(float));
    }
    for (const StateTensor& tensor : optimizer.state()) {
      const Index size = element_count(tensor.shape) * (tensor.dtype == DType::uint16 ? 2 : 4);
      all[tensor.name] = download<std::byte>(tensor.data, size);
    }
    return all;
  }

  template <class T>
  void upload(T* to, const std::vector<T>& values) const {
    CUDA_CHECK(cudaMemcpyAsync(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice,
                               stream));
  }
  template <class T>
  std::vector<T> download(const void* from, std::int64_t count) const {
    std::vector<T> values(static_cast<std::size_t>(count));
    CUDA_CHECK(cudaMemcpyAsync(values.data(), from, values.size() * sizeof(T),
                               cudaMemcpyDeviceToHost, stream));
    stream.synchronize();
    return values;
  }

  const reference::Config config = reference::micro_config();
  const ParameterLayout layout{config};
  const Ownership ownership{layout, 1};
  Stream stream;
  LinearAlgebra algebra;

 private:
  static std::size_t bytes(const Bench& bench) {
    Arena counted;
    take(bench, counted);
    const Optimizer optimizer(bench.config, bench.layout, bench.ownership, 0, counted);
    return counted.used();
  }
  static std::pair<ParameterBuffers, GradientSums> take(const Bench& bench, Arena& arena) {
    const std::int64_t bf16 = bench.layout.bf16_count(), fp32 = bench.layout.fp32_count();
    ParameterBuffers parameters = {arena.take<__nv_bfloat16>(bf16), arena.take<float>(fp32)};
    return {parameters, {arena.take<float>(bf16), arena.take<float>(fp32)}};
  }
  void put_parameter(const ParameterPlace& place, const std::vector<float>& values) const {
    if (!place.bf16()) return upload(parameters.vector(place), values);
    std::vector<__nv_bfloat16> rounded(values.begin(), values.end());
    upload(parameters.matrix(place), rounded);
  }

  DeviceMemory memory_{bytes(*this)};
  Arena arena_{memory_};
  std::pair<ParameterBuffers, GradientSums> taken_ = take(*this, arena_);

 public:
  const ParameterBuffers parameters = taken_.first;
  const GradientSums sums = taken_.second;
  Optimizer optimizer{config, layout, ownership, 0, arena_};
};

Tensor<double> tensor(const Shape& shape, const std::vector<float>& values) {
  Tensor<double> tensor(shape);
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}
std::vector<float> floats(const Tensor<double>& tensor) {
  std::vector<float> values;
  for (Index i = 0; i < tensor.size(); ++i) values.push_back(static_cast<float>(tensor[i]));
  return values;
}

class CudaOptimizer : public DeviceFixture {};

// Over all steps, the split among them: every second one, by the sum of two steps' gradients.
TEST_F(CudaOptimizer, AdamMovesEveryParameterToTheReferencesBits) {
  Bench bench;
  const Index last = bench.config.schedule.scheduled + bench.config.schedule.extension;
  const Index split = split_step(bench.config.schedule);
  ASSERT_LT(split + 2, last);
  std::map<std::string, Tensor<double>> parameters;
  std::map<std::string, reference::AdamMoments> moments;
  for (const ParameterPlace& place : bench.layout.places()) {
    parameters[place.info.name] = tensor(place.info.shape, bench.parameter(place));
    moments[place.info.name] = reference::adam_start(place.info.shape);
  }
  Values earlier;
  bool is_split = false;
  for (Index step = 0; step < last; ++step) {
    const Values gradients = bench.draw_gradients(step);
    bench.step(step, gradients);
    for (const ParameterPlace& place : bench.layout.places()) {
      const reference::ParameterInfo& info = place.info;
      if (info.optimizer != reference::Optimizer::adam) continue;
      if (step % 2 == 1 && (is_split || info.name != "embed")) {
        std::vector<float> sum = earlier.at(info.name);
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradients.at(info.name)[i];
        reference::adam_update(
            parameters.at(info.name), moments.at(info.name), tensor(info.shape, sum),
            {reference::adam_betas(info.label), info.lr_mul, info.wd_mul, info.dtype},
            learning_rate(step, bench.config.schedule), reference::Storage::as_defined);
      }
      EXPECT_EQ(bench.parameter(place), floats(parameters.at(info.name)))
          << info.name << " after step " << step;
      EXPECT_EQ(bench.state("adam/" + info.name + "/first"), floats(moments.at(info.name).first))
          << info.name << " after step " << step;
      EXPECT_EQ(bench.state("adam/" + info.name + "/second"), floats(moments.at(info.name).second))
          << info.name << " after step " << step;
    }
    if (step == split) {
      bench.optimizer.split_embedding(bench.parameters, bench.stream);
      parameters["embed"] = parameters.at("lm_head");
      moments["embed"] = moments.at("lm_head");
      is_split = true;
    }
    for (const auto& [name, updates] : bench.optimizer.updates()) {
      EXPECT_EQ(updates, moments.at(name).updates) << name << " after step " << step;
    }
    EXPECT_EQ(bench.optimizer.updates().count("embed"), is_split ? 1u : 0u);
    earlier = gradients;
  }
}

// A parameter of a family that is moved in one launch gets what its own launches give it, with the
// reference's rates.
TEST_F(CudaOptimizer, NormuonMovesEveryMatrixAsByItself) {
  Bench together, apart;
  const auto matrices = [&](const ParameterPlace& place) {
    return place.info.label == "attn" ? 4 : 1;
  };
  const auto alike = [&](const ParameterPlace& a, const ParameterPlace& b) {
    return a.info.shape == b.info.shape && a.info.label == b.info.label;
  };
  std::map<std::string, DeviceMemory> moments, second_moments, mantissas;
  const auto zeros = [&](std::int64_t bytes) {
    DeviceMemory memory(static_cast<std::size_t>(bytes));
    CUDA_CHECK(cudaMemsetAsync(memory.data(), 0, memory.bytes(), apart.stream));
    return memory;
  };
  const DeviceMemory numbers(3 * sizeof(float));
  float* const mu = reinterpret_cast<float*>(numbers.data());
  for (Index step = 0; step < 3; ++step) {
    const Values gradients = together.draw_gradients(step);
    together.step(step, gradients);
    apart.put_gradients(gradients);
    for (const ParameterPlace& place : apart.layout.places()) {
      const reference::ParameterInfo& info = place.info;
      if (info.optimizer != reference::Optimizer::normuon) continue;
      moments.try_emplace(info.name, zeros(4 * place.count));
      second_moments.try_emplace(info.name, zeros(4 * info.shape[0]));
      mantissas.try_emplace(info.name, zeros(2 * place.count));
      float* const moment = reinterpret_cast<float*>(moments.at(info.name).data());
      float* const second = reinterpret_cast<float*>(second_moments.at(info.name).data());
      auto* const mantissa = reinterpret_cast<std::uint16_t*>(mantissas.at(info.name).data());

      const MatrixFamily family = {
          .matrices = matrices(place),
          .rows = info.shape[0] / matrices(place),
          .columns = info.shape[1],
          .matrices_of_whole =
              matrices(place) *
              static_cast<int>(
                  std::count_if(apart.layout.places().begin(), apart.layout.places().end(),
                                [&](const ParameterPlace& other) { return alike(other, place); }))};
      const reference::NormuonRates rates =
          reference::normuon_rates(info.shape, {matrices(place), info.lr_mul, info.wd_mul},
                                   learning_rate(step, apart.config.schedule));
      apart.upload(
          mu, {static_cast<float>(momentum(step, apart.config.schedule)),
               static_cast<float>(rates.learning_rate), static_cast<float>(rates.weight_decay)});
      const DeviceMemory direction = zeros(2 * place.count), orthogonal = zeros(2 * place.count);
      const DeviceMemory row_factors = zeros(4 * info.shape[0]);
      const DeviceMemory workspace(
          std::max(polar_workspace_bytes(family), variance_workspace_bytes(family)));
      auto* const u = reinterpret_cast<__nv_bfloat16*>(direction.data());
      auto* const o = reinterpret_cast<__nv_bfloat16*>(orthogonal.data());
      auto* const factor = reinterpret_cast<float*>(row_factors.data());
      momentum_update(place.count, apart.gradient(place), mu, moment, u, apart.stream);
      polar_express(apart.algebra, family, u, o, workspace.data(), apart.stream);
      variance_reduction(family, o, second, factor, workspace.data(), apart.stream);
      cautious_split_update(info.shape[0], info.shape[1], o, factor, mu + 1, mu + 2,
                            apart.parameters.matrix(place), mantissa, apart.stream);
      apart.stream.synchronize();  // before the scratch goes

      const std::string state = "normuon/" + info.name;
      EXPECT_EQ(together.parameter(place), apart.parameter(place)) << info.name;
      EXPECT_EQ(together.state(state + "/moment"), apart.download<float>(moment, place.count))
          << info.name;
      EXPECT_EQ(together.state(state + "/second_moment"),
                apart.download<float>(second, info.shape[0]))
          << info.name;
      EXPECT_EQ(together.state<std::uint16_t>(state + "/mantissa"),
                apart.download<std::uint16_t>(mantissa, place.count))
          << info.name;
    }
  }
}

// SPEC §6.6: a zero update passes through polar express and the variance reduction as zero, and
// the parameter decays.
TEST_F(CudaOptimizer, AMatrixWithoutGradientDecays) {
  Bench bench;
  Values zeros = bench.draw_gradients(0);
  for (auto& [name, values] : zeros) std::fill(values.begin(), values.end(), 0.0f);
  std::map<std::string, std::vector<float>> before;
  for (const ParameterPlace& place : bench.layout.places()) {
    before[place.info.name] = bench.parameter(place);
  }
  bench.step(0, zeros);
  for (const ParameterPlace& place : bench.layout.places()) {
    const reference::ParameterInfo& info = place.info;
    if (info.optimizer != reference::Optimizer::normuon) continue;
    const reference::NormuonRates rates = reference::normuon_rates(
        info.shape, {1, info.lr_mul, info.wd_mul}, learning_rate(0, bench.config.schedule));
    const auto after = bench.parameter(place);
    const auto mantissa = bench.state<std::uint16_t>("normuon/" + info.name + "/mantissa");
    for (std::size_t i = 0; i < after.size(); ++i) {
      const reference::SplitFloat wanted = reference::cautious_split_update(
          {emulated::to_bf16(before.at(info.name)[i]), 0}, 0,
          static_cast<float>(rates.learning_rate), static_cast<float>(rates.weight_decay));
      ASSERT_EQ((reference::SplitFloat{emulated::to_bf16(after[i]), mantissa[i]}), wanted)
          << info.name << ", element " << i;
    }
  }
}

// One graph of an even and one of an odd update, launched again with other numbers.
TEST_F(CudaOptimizer, ACapturedUpdateServesOtherSteps) {
  Bench eager, replayed;
  std::vector<cudaGraphExec_t> graphs;
  for (Index step = 0; step < 4; ++step) {
    const Values gradients = eager.draw_gradients(step);
    eager.step(step, gradients);

    replayed.put_gradients(gradients);
    replayed.optimizer.prepare_step(step, replayed.stream);
    if (step < 2) {
      cudaGraph_t graph = nullptr;
      CUDA_CHECK(cudaStreamBeginCapture(replayed.stream, cudaStreamCaptureModeThreadLocal));
      replayed.optimizer.enqueue(replayed.algebra, replayed.parameters, replayed.sums,
                                 replayed.stream);
      CUDA_CHECK(cudaStreamEndCapture(replayed.stream, &graph));
      CUDA_CHECK(cudaGraphInstantiate(&graphs.emplace_back(), graph, 0));
      CUDA_CHECK(cudaGraphDestroy(graph));
    }
    CUDA_CHECK(cudaGraphLaunch(graphs[static_cast<std::size_t>(step % 2)], replayed.stream));
    replayed.optimizer.count_update();
  }
  EXPECT_EQ(replayed.everything(), eager.everything());
  EXPECT_EQ(replayed.optimizer.updates(), eager.optimizer.updates());
  for (const cudaGraphExec_t graph : graphs) CUDA_CHECK(cudaGraphExecDestroy(graph));
}

}  // namespace
}  // namespace pairedhead::gpu
