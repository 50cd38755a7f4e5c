#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gpu/emulated/trainer.h"
#include "tools/components/train_step_case.h"
#include "tools/targets/emulated_model.h"
#include "tools/targets/emulated_target.h"
#include "tools/verify/run_case.h"

namespace pairedhead {
namespace {

using ::testing::HasSubstr;

const char* const small =
    "layers=P1,L skip=0,1 backout=0 pairing=strided H=2 D=8 F=16 V=16 ranks=1 ";

// The emulated target, and a mistake in what it gives.
class Mistaken : public EmulatedTarget {
 public:
  explicit Mistaken(std::function<void(Arrays&)> mistake) : mistake_(std::move(mistake)) {}
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    EmulatedTarget::run(component, parameters, inputs, outputs);
    mistake_(outputs);
  }

 private:
  std::function<void(Arrays&)> mistake_;
};

Verdict judged(const std::string& row, const std::string& more,
               const std::function<void(Arrays&)>& mistake) {
  const Component& component = component_named(row);
  Mistaken target(mistake);
  CaseRunner runner(component, target);
  return runner.run({Parameters::parse(small + more), 3}, false).verdict;
}

void scale(Arrays& outputs, const std::string& name, Index i, double factor) {
  Array& array = outputs.at("outputs/" + name);
  array.set(i, factor * array.at(i));
}

TEST(EmulatedTrainer, ASmallMistakeInAStepIsCaught) {
  struct Mistake {
    const char *step, *output;
    Index element;
    double factor;
  };
  EXPECT_TRUE(judged("train_step", "step=0", [](Arrays&) {}).holds());
  EXPECT_TRUE(judged("train_step", "step=1", [](Arrays&) {}).holds());
  for (const Mistake& mistake :
       {Mistake{"step=0", "loss", 0, 1.02}, Mistake{"step=0", "moment_qkvo", 5, 1.02},
        Mistake{"step=1", "moment_c_proj", 7, 0.98},
        Mistake{"step=0", "second_moment_c_fc", 3, 1.05},
        Mistake{"step=0", "parameter_qkvo", 4, 1.1}, Mistake{"step=0", "mantissa_c_fc", 0, 0},
        Mistake{"step=0", "pending_lm_head", 3, 1.5}, Mistake{"step=1", "pending_lm_head", 0, NAN},
        Mistake{"step=1", "first_moment_lm_head", 0, 2},
        Mistake{"step=1", "second_moment_value_embed", 2, 1.001},
        Mistake{"step=1", "parameter_x0_lambdas", 0, 1.0001}}) {
    const std::string output = mistake.output;
    const Verdict verdict = judged("train_step", mistake.step, [&](Arrays& outputs) {
      scale(outputs, output, mistake.element, mistake.factor);
    });
    EXPECT_EQ(verdict.status, Status::failed) << output;
    ASSERT_NE(verdict.first_divergent(), nullptr) << output;
    EXPECT_THAT(verdict.reason, HasSubstr(output));
  }
}

TEST(EmulatedTrainer, ASmallMistakeOnTheWayIsCaught) {
  const std::string steps = "steps=3 storage=defined";
  EXPECT_TRUE(judged("train_trajectory", steps, [](Arrays&) {}).holds());
  for (const auto& [output, element] :
       {std::pair{"loss", 2}, {"norm", 3}, {"validation_loss", 0}, {"softmax_scale", 0}}) {
    const Verdict verdict =
        judged("train_trajectory", steps, [output = output, element = element](Arrays& outputs) {
          scale(outputs, output, element, 1.05);
        });
    EXPECT_EQ(verdict.status, Status::failed) << output;
    EXPECT_THAT(verdict.reason, HasSubstr(output));
  }
}

// All that a step depends on is in the tensors and in what start_at is told.
TEST(EmulatedTrainer, GoesOnFromItsTensors) {
  const Parameters parameters = Parameters::parse(small + std::string("steps=4 storage=defined"));
  const auto settings = training_settings(parameters, Rounding::exact());
  const Arrays inputs = component_named("train_trajectory").inputs(parameters, 3);
  auto data =
      reference::TrainingData::from_tokens(settings.config, tokens_of(inputs.at("tokens")), {});
  const auto trainer = [&] {
    return gpu::emulated::Trainer(settings.config, emulated_problem(settings.config));
  };
  gpu::emulated::Trainer whole = trainer(), later = trainer();
  for (auto& [name, values] : whole.tensors().halves) {
    const auto given = inputs.find(name);
    if (given == inputs.end()) continue;
    std::copy_n(given->second.as<std::uint16_t>(), values.size(), values.begin());
  }
  for (auto& [name, values] : whole.tensors().singles) {
    const auto given = inputs.find(name);
    if (given != inputs.end())
      std::copy_n(given->second.as<float>(), values.size(), values.begin());
  }
  for (Index step = 0; step < 4; ++step) {
    std::vector<reference::PackedSequence> sequences;
    for (const auto& sequence : step_sequences(data, step, settings)) {
      sequences.push_back(sequence.packed);
    }
    if (step == 3) {
      later.tensors() = whole.tensors();
      later.start_at(3, false, 1);
      EXPECT_EQ(later.step(sequences), whole.step(sequences));
    } else {
      whole.step(sequences);
    }
  }
  EXPECT_EQ(later.tensors().halves, whole.tensors().halves);
  EXPECT_EQ(later.tensors().singles, whole.tensors().singles);
}

}  // namespace
}  // namespace pairedhead
