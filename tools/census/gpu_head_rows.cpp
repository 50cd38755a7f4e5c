#include "tools/census/gpu_head_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "reference/fp8.h"
#include "tools/verdict/error_scale.h"

namespace pairedhead {
namespace {

constexpr Index loss_tokens = 4, block = 16;
constexpr Index width = RecordHead::width, vocabulary = RecordHead::vocabulary;

// A row of the table, of which only these outputs are judged.
Component only(const char* name, const std::vector<std::string>& keys) {
  Component component = component_named(name);
  std::erase_if(component.outputs, [&](const OutputRow& row) {
    return std::find(keys.begin(), keys.end(), row.key()) == keys.end();
  });
  return component;
}

void judge_block(const Component& component, const Parameters& parameters, const Arrays& inputs,
                 const Arrays& outputs, SampledResult& result) {
  const Truth whole =
      component.stages.empty() ? truth_of(component, parameters, inputs, 1) : Truth{};
  const Truth truth = truth_of_stages(component, parameters, inputs, 1, whole, outputs);
  const Verdict verdict = judge(component, parameters, truth, inputs, outputs, std::nullopt);
  for (const auto& [key, array] : outputs) result.rows += array.shape.at(0);
  result.worst = worst_of(result.worst, verdict.worst);
  if (verdict.holds()) return;
  ++result.failed;
  const TensorVerdict* tensor = verdict.first_divergent();
  if (result.first_failure.empty()) {
    result.first_failure = tensor == nullptr ? component.name + ": " + verdict.reason
                                             : tensor->key + ": " + tensor->reason;
  }
}

Array flat(Array array) {
  array.shape = {array.size()};
  return array;
}

void judge_loss(const RecordHead& head, SampledResult& result) {
  const gpu::Stream& stream = head.stream();
  const Index first = head.tokens() - loss_tokens;
  Parameters parameters = Parameters::parse("horizons=3 validation=0 fill=normal");
  parameters.set("T", loss_tokens).set("V", vocabulary);
  judge_block(only("softcap_loss_fp8",
                   {"outputs/logsumexp", "grads/z", "outputs/codes", "outputs/codes_transposed"}),
              parameters,
              {{"z", head.z().part(stream, first, loss_tokens, 0, vocabulary)},
               {"targets", flat(head.targets().part(stream, 0, 1, first, loss_tokens))},
               {"mtp_weights", head.mtp_weights()},
               {"grad_loss", head.grad_loss()}},
              {{"outputs/logsumexp", flat(head.logsumexp().part(stream, 0, 1, first, loss_tokens))},
               {"grads/z", head.logit_gradient(loss_tokens)},
               {"outputs/codes", head.codes().part(stream, first, loss_tokens, 0, vocabulary)},
               {"outputs/codes_transposed",
                head.codes_transposed().part(stream, 0, vocabulary, first, loss_tokens)}},
              result);
}

// A bf16 gradient that is quantised to these codes.
Array gradient_of(const Array& codes) {
  Array gradient(DType::bf16, codes.shape);
  for (Index i = 0; i < codes.size(); ++i) {
    gradient.set(i, codes.at(i) * static_cast<double>(reference::fp8_gradient_scale));
  }
  return gradient;
}

Array transposed(const Array& x) {
  const Index rows = x.shape[0], columns = x.shape[1];
  Array result(x.dtype, {columns, rows});
  for (Index i = 0; i < x.size(); ++i) result.set(i % columns * rows + i / columns, x.at(i));
  return result;
}

Parameters head_setting(Index tokens, Index channels, Index words) {
  return Parameters::parse("validation=0 fill=normal")
      .set("T", tokens)
      .set("C", channels)
      .set("V", words);
}

void judge_products(const RecordHead& head, SampledResult& result) {
  const gpu::Stream& stream = head.stream();
  const Index tokens = head.tokens();
  const Index token = tokens - block, word = vocabulary - block, channel = width - block;
  judge_block(only("head_fp8", {"outputs/z"}), head_setting(block, width, block),
              {{"x", head.x().part(stream, token, block, 0, width)},
               {"lm_head", head.lm_head().part(stream, word, block, 0, width)},
               {"grad_z", Array(DType::bf16, {block, block})}},
              {{"outputs/z", head.z().part(stream, token, block, word, block)}}, result);
  judge_block(only("head_fp8", {"grads/x"}), head_setting(block, block, vocabulary),
              {{"x", head.x().part(stream, token, block, channel, block)},
               {"lm_head", head.lm_head().part(stream, 0, vocabulary, channel, block)},
               {"grad_z", gradient_of(head.codes().part(stream, token, block, 0, vocabulary))}},
              {{"grads/x", head.grad_x().part(stream, token, block, channel, block)}}, result);
  judge_block(
      only("head_fp8", {"grads/lm_head"}), head_setting(tokens, block, block),
      {{"x", head.x().part(stream, 0, tokens, channel, block)},
       {"lm_head", head.lm_head().part(stream, word, block, channel, block)},
       {"grad_z",
        gradient_of(transposed(head.codes_transposed().part(stream, word, block, 0, tokens)))}},
      {{"grads/lm_head", head.grad_lm_head().part(stream, word, block, channel, block)}}, result);
}

}  // namespace

SampledResult sampled_head_rows(const RecordHead& head) {
  SampledResult result;
  judge_loss(head, result);
  judge_products(head, result);
  return result;
}

}  // namespace pairedhead
