#include "tools/targets/emulated_head.h"

#include "gpu/emulated/head.h"
#include "gpu/emulated/linear.h"

namespace pairedhead {
namespace {

using namespace gpu::emulated;

LogitShape shape_of(const Parameters& p) {
  return {static_cast<int>(p.integer("T")), static_cast<int>(p.integer("V"))};
}

void head_fp8(const Parameters& p, const Arrays& in, Arrays& out) {
  const auto extent = [&](const char* name) { return static_cast<int>(p.integer(name)); };
  const auto read = [&](const char* name) { return in.at(name).as<std::uint16_t>(); };
  const auto write = [&](const char* name) { return out.at(name).as<std::uint16_t>(); };
  if (p.integer("validation") == 1) {  // bf16
    const MatrixShape shape = {extent("T"), extent("C"), extent("V")};
    linear_forward(shape, read("x"), read("lm_head"), write("outputs/z"));
    linear_backward(shape, read("x"), read("lm_head"), read("grad_z"), write("grads/x"),
                    write("grads/lm_head"));
    return;
  }
  const Fp8HeadShape shape = {extent("T"), extent("C"), extent("V")};
  head_fp8_forward(shape, read("x"), read("lm_head"), write("outputs/z"));
  head_fp8_backward(shape, read("x"), read("lm_head"), read("grad_z"), write("grads/x"),
                    write("grads/lm_head"));
}

void softcap(const Parameters& p, const Arrays& in, Arrays& out) {
  const auto* z = in.at("z").as<std::uint16_t>();
  softcap_forward(shape_of(p), z, out.at("outputs/l").as<std::uint16_t>());
  softcap_backward(shape_of(p), z, in.at("grad_l").as<std::uint16_t>(),
                   out.at("grads/z").as<std::uint16_t>());
}

void softcap_loss(const Parameters& p, const Arrays& in, Arrays& out) {
  const auto* z = in.at("z").as<std::uint16_t>();
  const LossProblem problem = {.shape = shape_of(p),
                               .targets = in.at("targets").as<std::int32_t>(),
                               .weights = in.at("mtp_weights").as<float>(),
                               .horizons = static_cast<int>(p.integer("horizons")),
                               .validation = p.integer("validation") == 1};
  float* logsumexp = out.at("outputs/logsumexp").as<float>();
  softcap_loss_forward(problem, z, logsumexp, out.at("outputs/loss").as<float>());
  softcap_loss_backward(problem, z, logsumexp, *in.at("grad_loss").as<float>(),
                        out.at("grads/z").as<std::uint16_t>());
}

// Both layouts: the quantisation once, then moved.
void softcap_loss_fp8(const Parameters& p, const Arrays& in, Arrays& out) {
  softcap_loss(p, in, out);
  const auto tokens = static_cast<std::size_t>(p.integer("T"));
  const auto vocabulary = static_cast<std::size_t>(p.integer("V"));
  auto* codes = out.at("outputs/codes").as<std::uint8_t>();
  quantise_head_gradient(out.at("grads/z").as<std::uint16_t>(),
                         static_cast<std::int64_t>(tokens * vocabulary), codes);
  auto* transposed = out.at("outputs/codes_transposed").as<std::uint8_t>();
  for (std::size_t n = 0; n < vocabulary; ++n) {
    for (std::size_t t = 0; t < tokens; ++t) {
      transposed[n * tokens + t] = codes[t * vocabulary + n];
    }
  }
}

}  // namespace

const std::map<std::string, EmulatedRun>& emulated_head_runs() {
  static const std::map<std::string, EmulatedRun> runs = {{"head_fp8", head_fp8},
                                                          {"softcap", softcap},
                                                          {"softcap_loss", softcap_loss},
                                                          {"softcap_loss_fp8", softcap_loss_fp8}};
  return runs;
}

}  // namespace pairedhead
