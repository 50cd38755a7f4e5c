#include "tools/record/token_shape_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <string_view>

#include "tools/census/sampled_tokens.h"
#include "tools/verify/run_case.h"

namespace pairedhead {
namespace {

// The longest first: they are judged side by side.
struct Setting {
  const char *kind, *component, *parameters;
};
constexpr Setting settings[] = {
    {"whole", "embed_smear_norm", "T=16384 C=768 V=5003 entry=1 tied=1 fill=normal"},
    {"whole", "value_embedding", "T=16384 C=768 V=5003 fill=normal"},
    {"whole", "mix_norm", "T=16384 C=768 gates=1 x_before=0 x0_before=1 fill=normal"},
    {"whole", "backout_norm", "T=16384 C=768 fill=normal"},
    {"whole", "value_mix", "T=16384 H=6 D=128 fill=normal"},
    {"whole", "output_gate", "T=16384 H=6 D=128 fill=normal"},
    {"sampled", "mlp", "T=49152 C=768 F=3072 fill=normal weights=normal"},
    {"sampled", "linear", "T=49152 K=768 N=3072 fill=normal"},
    {"sampled", "linear", "T=49152 K=3072 N=768 fill=normal"},
    {"sampled", "lambda_linear", "T=49152 K=768 N=2304 fill=normal"},
    {"sampled", "lambda_linear", "T=49152 K=768 N=768 fill=normal"},
    {"sampled", "cautious_split_update", "n=75497472 fill=normal"},
    {"sampled", "adam_step", "n=38633472 fill=normal label=value_embed updates=579"},
    {"sampled", "embed_smear_norm", "T=49152 C=768 V=5003 entry=1 tied=0 fill=normal"},
    {"sampled", "value_embedding", "T=49152 C=768 V=5003 fill=normal"},
    {"sampled", "mix_norm", "T=49152 C=768 gates=1 x_before=1 x0_before=1 fill=normal"},
    {"sampled", "skip_mix_norm", "T=49152 C=768 gates=0 x_before=0 x0_before=1 fill=normal"},
    {"sampled", "rms_norm", "T=49152 C=768 residual=1 fill=normal"},
    {"sampled", "backout_norm", "T=49152 C=768 fill=normal"},
    {"sampled", "qk_prepare", "T=49152 H=6 D=128 paired=0 normalise=1 shift=1 fill=normal"},
    {"sampled", "qk_prepare", "T=49152 H=6 D=128 paired=1 normalise=1 shift=0 fill=normal"},
    {"sampled", "value_mix", "T=49152 H=6 D=128 fill=normal"},
    {"sampled", "output_gate", "T=49152 H=6 D=128 fill=normal"},
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

std::string sampled_places(Target& target, const Component& component, const Parameters& parameters,
                           const ShapeCheckOptions& options, bool& holds) {
  const SampledResult result =
      sampled_tokens(target, component, parameters, parameters.has("n") ? "n" : "T", options.seed,
                     options.sampled_tokens);
  holds = result.failed == 0;
  return holds ? fmt::format("{} rows judged, worst rho_max {:.2f}", result.rows, result.worst.max)
               : fmt::format("{} of {} rows failed, first: {}", result.failed, result.rows,
                             result.first_failure);
}

std::string whole_case(Target& target, const Component& component, const Parameters& parameters,
                       const ShapeCheckOptions& options, bool& holds) {
  CaseRunner runner(component, target);
  const Verdict verdict = runner.run({parameters, options.seed}, false).verdict;
  holds = verdict.holds();
  return holds ? fmt::format("rho_max {:.2f}, rho_row {:.2f}, rho_rms {:.2f}", verdict.worst.max,
                             verdict.worst.row, verdict.worst.rms)
               : verdict.reason;
}

// What goes wrong with one setting is its failed check, not the end of the others.
RecordedCheck check_of(Target& target, const Setting& setting, const ShapeCheckOptions& options) {
  RecordedCheck check = {
      fmt::format("{} {} {}", setting.kind, setting.component, setting.parameters), false, {}};
  try {
    const auto judged = setting.kind == std::string_view("whole") ? whole_case : sampled_places;
    check.finding = judged(target, component_named(setting.component),
                           Parameters::parse(setting.parameters), options, check.passed);
  } catch (const std::exception& error) {
    check.finding = error.what();
  }
  return check;
}

}  // namespace

std::vector<RecordedCheck> check_token_shapes(Target& target, const ShapeCheckOptions& options) {
  OneAtATime shared(target);
  std::vector<RecordedCheck> checks(std::size(settings));
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < checks.size(); ++i) {
    checks[i] = check_of(shared, settings[i], options);
  }
  if (options.on_check) std::for_each(checks.begin(), checks.end(), options.on_check);
  return checks;
}

}  // namespace pairedhead
