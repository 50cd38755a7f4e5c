#include "tools/record/token_shape_checks.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <mutex>

#include "tools/census/sampled_tokens.h"
#include "tools/verify/run_case.h"

namespace pairedhead {
namespace {

struct Setting {
  const char *component, *parameters, *axis;
};

const Setting sampled_settings[] = {
    {"embed_smear_norm", "T=49152 C=768 V=5003 entry=1 tied=0 fill=normal", "T"},
    {"value_embedding", "T=49152 C=768 V=5003 fill=normal", "T"},
    {"mix_norm", "T=49152 C=768 gates=1 x_before=1 x0_before=1 fill=normal", "T"},
    {"skip_mix_norm", "T=49152 C=768 gates=0 x_before=0 x0_before=1 fill=normal", "T"},
    {"rms_norm", "T=49152 C=768 residual=1 fill=normal", "T"},
    {"backout_norm", "T=49152 C=768 fill=normal", "T"},
    {"qk_prepare", "T=49152 H=6 D=128 paired=0 normalise=1 shift=1 fill=normal", "T"},
    {"qk_prepare", "T=49152 H=6 D=128 paired=1 normalise=1 shift=0 fill=normal", "T"},
    {"value_mix", "T=49152 H=6 D=128 fill=normal", "T"},
    {"output_gate", "T=49152 H=6 D=128 fill=normal", "T"},
    {"lambda_linear", "T=49152 K=768 N=2304 fill=normal", "T"},
    {"lambda_linear", "T=49152 K=768 N=768 fill=normal", "T"},
    {"linear", "T=49152 K=768 N=3072 fill=normal", "T"},
    {"linear", "T=49152 K=3072 N=768 fill=normal", "T"},
    {"mlp", "T=49152 C=768 F=3072 fill=normal weights=normal", "T"},
    {"adam_step", "n=38633472 fill=normal label=value_embed updates=579", "n"},
    {"cautious_split_update", "n=75497472 fill=normal", "n"},
};

const Setting whole_settings[] = {
    {"embed_smear_norm", "T=16384 C=768 V=5003 entry=1 tied=1 fill=normal", "T"},
    {"value_embedding", "T=16384 C=768 V=5003 fill=normal", "T"},
    {"mix_norm", "T=16384 C=768 gates=1 x_before=0 x0_before=1 fill=normal", "T"},
    {"backout_norm", "T=16384 C=768 fill=normal", "T"},
    {"value_mix", "T=16384 H=6 D=128 fill=normal", "T"},
    {"output_gate", "T=16384 H=6 D=128 fill=normal", "T"},
};

// Lets several threads prepare and judge while one runs.
class OneAtATime final : public Target {
 public:
  explicit OneAtATime(Target& target) : target_(target) {}
  std::string name() const override { return target_.name(); }
  std::optional<std::string> skips(const Component& component) const override {
    return target_.skips(component);
  }
  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    const std::lock_guard lock(mutex_);
    target_.run(component, parameters, inputs, outputs);
  }

 private:
  Target& target_;
  std::mutex mutex_;
};

std::string name_of(const char* kind, const Setting& setting) {
  return fmt::format("{} {} {}", kind, setting.component, setting.parameters);
}

RecordedCheck sampled(Target& target, const Setting& setting, const ShapeCheckOptions& options) {
  const SampledResult result = sampled_tokens(target, component_named(setting.component),
                                              Parameters::parse(setting.parameters), setting.axis,
                                              options.seed, options.sampled_tokens);
  return {name_of("sampled", setting), result.failed == 0,
          result.failed == 0
              ? fmt::format("{} places judged, worst rho_max {:.2f}", result.rows, result.worst.max)
              : fmt::format("{} of {} places failed, first: {}", result.failed, result.rows,
                            result.first_failure)};
}

RecordedCheck whole(Target& target, const Setting& setting, const ShapeCheckOptions& options) {
  CaseRunner runner(component_named(setting.component), target);
  const Verdict verdict =
      runner.run({Parameters::parse(setting.parameters), options.seed}, false).verdict;
  return {name_of("whole", setting), verdict.holds(),
          verdict.holds() ? fmt::format("rho_max {:.2f}, rho_row {:.2f}, rho_rms {:.2f}",
                                        verdict.worst.max, verdict.worst.row, verdict.worst.rms)
                          : verdict.reason};
}

// What went wrong with one setting is a failed check, not the end of the others.
RecordedCheck guarded(const std::string& name, const std::function<RecordedCheck()>& check) {
  try {
    return check();
  } catch (const std::exception& error) {
    return {name, false, error.what()};
  }
}

}  // namespace

std::vector<RecordedCheck> check_token_shapes(Target& target, const ShapeCheckOptions& options) {
  OneAtATime shared(target);
  std::vector<RecordedCheck> checks(std::size(sampled_settings));
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < checks.size(); ++i) {
    checks[i] = guarded(name_of("sampled", sampled_settings[i]),
                        [&] { return sampled(shared, sampled_settings[i], options); });
  }
  for (const Setting& setting : whole_settings) {
    checks.push_back(
        guarded(name_of("whole", setting), [&] { return whole(target, setting, options); }));
  }
  if (options.on_check) std::for_each(checks.begin(), checks.end(), options.on_check);
  return checks;
}

}  // namespace pairedhead
