#include "tools/bench/gpu_head_measure.h"

#include "tools/bench/gpu_timing.h"
#include "tools/census/gpu_head_rows.h"

namespace pairedhead {
namespace {

// Matrix units take fp8 at twice the rate of bf16.
constexpr double fp8_speed = 2;

struct Stage {
  const char *component, *direction;
  const char* of;  // beside T, as the table shows it
  void (*launch)(RecordHead&, cudaStream_t);
  Work work;
  std::optional<double> peer;
};

// Bytes and flops of tensors moved once: bf16 takes two bytes, a code one.
std::vector<Stage> stages(const RecordHead& head, const BenchSetting& setting) {
  const auto tokens = static_cast<double>(head.tokens());
  const double activations = tokens * RecordHead::width;
  const double weights = double{RecordHead::vocabulary} * RecordHead::width;
  const double logits = tokens * RecordHead::vocabulary;
  const double product = 2 * activations * RecordHead::vocabulary;  // flops
  const std::optional<double> none;
  return {
      {"quantise_fp8",
       "forward",
       " activations",
       [](RecordHead& h, cudaStream_t s) { h.quantise_activations(s); },
       {.bytes = 4 * activations},
       none},
      {"quantise_fp8",
       "forward",
       " weights",
       [](RecordHead& h, cudaStream_t s) { h.quantise_weights(s); },
       {.bytes = 4 * weights},
       none},
      {"head_fp8",
       "forward",
       " product",
       [](RecordHead& h, cudaStream_t s) { h.forward(s); },
       {.bytes = activations + weights + 2 * logits, .flops = product},
       none},
      {"softcap_loss_fp8",
       "forward",
       "",
       [](RecordHead& h, cudaStream_t s) { h.loss(s); },
       {.bytes = 2 * logits},
       none},
      {"softcap_loss_fp8",
       "backward",
       "",
       [](RecordHead& h, cudaStream_t s) { h.loss_backward(s); },
       {.bytes = 4 * logits},
       none},
      {"head_fp8",
       "backward",
       " products",
       [](RecordHead& h, cudaStream_t s) { h.backward(s); },
       {.bytes = 2 * logits + 3 * (activations + weights), .flops = 2 * product},
       none},
      {"head_fp8",
       "both",
       " all of it",
       [](RecordHead& h, cudaStream_t s) { h.all(s); },
       {.bytes = 10 * logits + 8 * (activations + weights), .flops = 3 * product},
       setting.peer_forward_ms},
  };
}

void require_repeated(const RecordHead& head, const DeviceMatrix& gradient, const Array& timed,
                      const std::string& what) {
  if (gradient.part(head.stream(), 0, gradient.rows, 0, gradient.columns).bytes == timed.bytes) {
    return;
  }
  throw InputError("bench: head_fp8: the gradient of " + what +
                   " after the timed launches differs from a fresh run, expected the same bits");
}

}  // namespace

std::vector<Measurement> measure_head(GpuTarget& target, const BenchSetting& setting) {
  RecordHead head(target.stream(), setting.parameters.integer("T"));
  head.all(target.stream());
  std::vector<Measurement> measurements;
  for (const Stage& stage : stages(head, setting)) {
    const double milliseconds = median_milliseconds(
        target.stream(), [&](cudaStream_t stream) { stage.launch(head, stream); });
    measurements.push_back({stage.component, setting.setting + stage.of, stage.direction,
                            milliseconds, stage.work, stage.peer, fp8_speed});
  }
  const auto whole = [&](const DeviceMatrix& matrix) {
    return matrix.part(target.stream(), 0, matrix.rows, 0, matrix.columns);
  };
  const Array grad_x = whole(head.grad_x()), grad_lm_head = whole(head.grad_lm_head());
  head.all(target.stream());
  require_repeated(head, head.grad_x(), grad_x, "the activations");
  require_repeated(head, head.grad_lm_head(), grad_lm_head, "the weights");
  const SampledResult sampled = sampled_head_rows(head);
  if (sampled.failed > 0) {
    throw InputError(
        "bench: head_fp8 " + setting.setting +
        ": after the timed launches the reference disagrees: " + sampled.first_failure);
  }
  return measurements;
}

}  // namespace pairedhead
