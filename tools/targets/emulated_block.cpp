#include "tools/targets/emulated_block.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "gpu/emulated/block.h"
#include "gpu/emulated/qk_prepare.h"

namespace pairedhead {

using namespace gpu::emulated;

void run_emulated_block(const Parameters& parameters, const Arrays& inputs, Arrays& outputs) {
  const auto extent = [&](const char* name) { return static_cast<int>(parameters.integer(name)); };
  const auto bits = [&](const char* name) { return inputs.at(name).as<std::uint16_t>(); };
  const float* lambdas = inputs.at("lambdas").as<float>();
  const auto grad = [&](const char* name) {
    return outputs.at(std::string("grads/") + name).as<std::uint16_t>();
  };
  float* grad_lambdas = outputs.at("grads/lambdas").as<float>();

  const bool paired = parameters.word("layer") == "P";
  const int tokens = extent("T"), head_dim = extent("D");
  const auto factors =
      static_cast<std::size_t>(tokens) * static_cast<std::size_t>(head_dim) * (paired ? 2u : 1u);
  std::vector<std::uint16_t> cosine(factors), sine(factors);
  rotary_table(inputs.at("frequency").as<float>(), tokens, head_dim, paired, cosine.data(),
               sine.data());
  const HeadPairing pairing = !paired                                    ? HeadPairing::none
                              : parameters.word("pairing") == "adjacent" ? HeadPairing::adjacent
                                                                         : HeadPairing::strided;
  const Array& x = inputs.at("x");
  const BlockProblem problem = {
      .tokens = tokens,
      .heads = extent("H"),
      .head_dim = head_dim,
      .hidden = extent("F"),
      .pairing = pairing,
      .shift_keys = parameters.word("layer") == "L",
      .window = static_cast<int>(inputs.at("window").at(0)),
      .softmax_scale = static_cast<float>(inputs.at("softmax_scale").at(0)),
      .cu_seqlens = inputs.at("cu_seqlens").as<std::int32_t>(),
      .entries = static_cast<int>(inputs.at("cu_seqlens").size()),
      .cosine = cosine.data(),
      .sine = sine.data(),
      .order_seed = XXH3_64bits(x.bytes.data(), x.bytes.size())};
  const BlockStreams streams = {
      .x = bits("x"), .x0 = bits("x0"), .x_skip = bits("x_skip"), .value_embedding = bits("ve")};
  const BlockWeights weights = {.qkvo = bits("qkvo"),
                                .c_fc = bits("c_fc"),
                                .c_proj = bits("c_proj"),
                                .gate = bits("attn_gate"),
                                .value_gate = bits("ve_gate"),
                                .skip_gate = bits("skip_gate"),
                                .rho = lambdas[0],
                                .lam = lambdas[1],
                                .alpha = lambdas[2],
                                .omega = lambdas[3],
                                .theta = lambdas[4]};
  block_forward(problem, streams, weights, outputs.at("outputs/out").as<std::uint16_t>());
  block_backward(problem, streams, weights, bits("grad_out"),
                 {.x = grad("x"),
                  .x0 = grad("x0"),
                  .x_skip = grad("x_skip"),
                  .value_embedding = grad("ve"),
                  .qkvo = grad("qkvo"),
                  .c_fc = grad("c_fc"),
                  .c_proj = grad("c_proj"),
                  .gate = grad("attn_gate"),
                  .value_gate = grad("ve_gate"),
                  .skip_gate = grad("skip_gate"),
                  .rho = grad_lambdas,
                  .lam = grad_lambdas + 1,
                  .alpha = grad_lambdas + 2,
                  .omega = grad_lambdas + 3,
                  .theta = grad_lambdas + 4});
}

}  // namespace pairedhead
