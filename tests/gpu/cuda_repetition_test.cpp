#include <thread>

#include "tests/gpu/device_fixture.h"
#include "tools/targets/gpu_target.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

constexpr int repetitions = 1000;

// Takes all memory of the device but what the target may still ask for, and keeps its bandwidth
// busy: kernels then meet data late, and in another order each time.
class MemoryPressure {
 public:
  MemoryPressure() : filler_(free_bytes() - spared_bytes) {}

 private:
  static constexpr std::size_t spared_bytes = std::size_t{3} << 30;
  static constexpr std::size_t copied_bytes = std::size_t{256} << 20;

  static std::size_t free_bytes() {
    std::size_t free = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return free;
  }
  void copy_until(const std::stop_token& stop) const {
    for (std::size_t offset = 0; !stop.stop_requested();
         offset = (offset + copied_bytes) % (filler_.bytes() - 2 * copied_bytes)) {
      CUDA_CHECK(cudaMemcpyAsync(filler_.data() + offset, filler_.data() + offset + copied_bytes,
                                 copied_bytes, cudaMemcpyDeviceToDevice, stream_));
      stream_.synchronize();
    }
  }

  gpu::DeviceMemory filler_;
  gpu::Stream stream_;
  std::jthread copies_{[this](const std::stop_token& stop) { copy_until(stop); }};
};

class RepetitionTest : public gpu::DeviceFixture {};

// A case of many blocks: the largest of some draws, so that what runs at once differs from run to
// run.
Parameters large_case(const Component& component) {
  if (component.name.starts_with("attention_")) {
    const std::string pairing = component.name == "attention_paired" ? " pairing=strided" : "";
    return Parameters::parse(
        "T=2048 H=6 D=128 documents=700,0,900,448 window=640 softmax_scale=0.1 fill=normal" +
        pairing);
  }
  Random random(1);
  Parameters largest;
  std::size_t most = 0;
  for (int i = 0; i < 32; ++i) {
    const Parameters drawn = component.draw(random, 1);
    std::size_t bytes = 0;
    for (const auto& [name, array] : poisoned_outputs(component, drawn, 1)) {
      bytes += array.bytes.size();
    }
    if (bytes > most) {
      most = bytes;
      largest = drawn;
    }
  }
  return largest;
}

TEST_F(RepetitionTest, AThousandRunsUnderMemoryPressureGiveTheSameBits) {
  GpuTarget target;
  const MemoryPressure pressure;
  int rows = 0;
  for (const Component& component : component_table()) {
    // A trainer launches the kernels of the other rows, in seconds a run.
    if (target.skips(component) || component.one_in > 1) continue;
    const Parameters parameters = large_case(component);
    SCOPED_TRACE(component.name + " " + parameters.text());
    const Arrays inputs = component.inputs(parameters, 1);
    Arrays first = poisoned_outputs(component, parameters, 1);
    target.run(component, parameters, inputs, first);
    Arrays again = poisoned_outputs(component, parameters, 2);
    auto [device_case, launches] = target.prepare(component, parameters, inputs, again);
    int differing = 0;
    for (int run = 0; run < repetitions; ++run) {
      if (launches.start) launches.start(target.stream());
      launches.forward(target.stream());
      if (launches.backward) launches.backward(target.stream());
      if (launches.finish) launches.finish(target.stream());
      device_case.collect(again);
      differing += std::any_of(first.begin(), first.end(), [&](const auto& output) {
        return output.second.bytes != again.at(output.first).bytes;
      });
    }
    EXPECT_EQ(differing, 0) << "of " << repetitions << " runs gave other bits";
    ++rows;
  }
  EXPECT_GE(rows, 28);
}

}  // namespace
}  // namespace pairedhead
