#include <cmath>

#include "tests/gpu/device_fixture.h"
#include "tools/targets/gpu_target.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

class GpuTargetTest : public gpu::DeviceFixture {};

Arrays run(GpuTarget& target, const Component& component, const Parameters& parameters,
           const Arrays& inputs, std::uint64_t poison) {
  const Values exact = component.reference(parameters, inputs, Rounding::exact());
  Arrays outputs = poisoned_outputs(component, exact, poison);
  target.run(component, parameters, inputs, outputs);
  return outputs;
}

// Whatever ran before and whatever the buffers held: the same inputs give the same bits.
TEST_F(GpuTargetTest, GivesTheSameBitsAfterAnythingElse) {
  GpuTarget target;
  const Component& attention = component_named("attention_paired");
  const Component& prepare = component_named("qk_prepare");
  const auto parameters = Parameters::parse(
      "T=150 H=6 D=128 documents=100,0,50 window=32 softmax_scale=0.1 fill=normal pairing=strided");
  const auto other = Parameters::parse("T=70 H=6 D=72 fill=normal normalise=1 paired=1 shift=1");
  const Arrays inputs = attention.inputs(parameters, 5);
  const Arrays first = run(target, attention, parameters, inputs, 1);
  run(target, prepare, other, prepare.inputs(other, 6), 2);
  const Arrays again = run(target, attention, parameters, inputs, 3);
  for (const auto& [name, array] : first) {
    EXPECT_EQ(array.bytes, again.at(name).bytes) << name;
    for (Index i = 0; i < array.size(); ++i) {
      ASSERT_TRUE(std::isfinite(array.at(i))) << name << " " << i;
    }
  }
}

TEST_F(GpuTargetTest, SkipsWhatHasNoKernelOfItsOwn) {
  const GpuTarget target;
  EXPECT_EQ(target.skips(component_named("attention_paired")), std::nullopt);
  EXPECT_EQ(target.skips(component_named("key_shift")), "fused into qk_prepare");
  EXPECT_EQ(target.skips(component_named("yarn_update")), "no kernel");
  EXPECT_EQ(target.skips(component_named("document_packer")), "no kernel");
}

}  // namespace
}  // namespace pairedhead
