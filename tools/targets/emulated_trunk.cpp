#include "tools/targets/emulated_trunk.h"

#include "gpu/emulated/elementwise.h"
#include "gpu/emulated/embedding.h"
#include "gpu/emulated/gates.h"
#include "gpu/emulated/linear.h"
#include "gpu/emulated/residual.h"

namespace pairedhead {
namespace {

using namespace gpu::emulated;

const std::uint16_t* bits(const Arrays& arrays, const std::string& name) {
  return arrays.at(name).as<std::uint16_t>();
}
const std::uint16_t* bits_or_null(const Arrays& arrays, const std::string& name) {
  return arrays.count(name) > 0 ? bits(arrays, name) : nullptr;
}
std::uint16_t* bits(Arrays& arrays, const std::string& name) {
  return arrays.at(name).as<std::uint16_t>();
}
float number(const Arrays& arrays, const char* name) { return *arrays.at(name).as<float>(); }
float* number(Arrays& arrays, const char* name) { return arrays.at(name).as<float>(); }

int extent(const Parameters& p, const char* name) { return static_cast<int>(p.integer(name)); }
TokenShape token_shape(const Parameters& p) { return {extent(p, "T"), extent(p, "C")}; }
HeadShape head_shape(const Parameters& p) {
  return {extent(p, "T"), extent(p, "H"), extent(p, "D")};
}
MatrixShape matrix_shape(const Parameters& p) {
  return {extent(p, "T"), extent(p, "K"), extent(p, "N")};
}

void rms_norm(const Parameters& p, const Arrays& in, Arrays& out) {
  rms_norm_forward(token_shape(p), bits(in, "x"), bits(out, "outputs/y"));
  rms_norm_backward(token_shape(p), bits(in, "x"), bits(in, "grad_y"),
                    bits_or_null(in, "grad_residual"), bits(out, "grads/x"));
}

template <bool skips>
void mix_norm(const Parameters& p, const Arrays& in, Arrays& out) {
  MixNormRows rows = {
      .x = bits(in, "x"), .x0 = bits(in, "x0"), .rho = number(in, "rho"), .lam = number(in, "lam")};
  MixNormGradients grad = {.x = bits(out, "grads/x"),
                           .x0 = bits(out, "grads/x0"),
                           .rho = number(out, "grads/rho"),
                           .lam = number(out, "grads/lam")};
  if (skips) {
    rows.x_skip = bits(in, "x_skip");
    rows.w = bits(in, "w");
    rows.theta = number(in, "theta");
    grad.x_skip = bits(out, "grads/x_skip");
    grad.w = bits(out, "grads/w");
    grad.theta = number(out, "grads/theta");
  }
  const bool gates = in.count("grad_a_gates") > 0;
  mix_norm_forward(token_shape(p), rows, bits(out, "outputs/mixed"), bits(out, "outputs/a"));
  mix_norm_backward(token_shape(p), rows,
                    {.mixed = bits(in, "grad_mixed"),
                     .a = bits(in, "grad_a"),
                     .a_gates = gates ? in.at("grad_a_gates").as<float>() : nullptr,
                     .x_before = bits_or_null(in, "grad_x_before"),
                     .x0_before = bits_or_null(in, "grad_x0_before")},
                    grad);
}

void backout_norm(const Parameters& p, const Arrays& in, Arrays& out) {
  const float beta = number(in, "beta");
  backout_norm_forward(token_shape(p), bits(in, "x"), bits(in, "x_back"), beta,
                       bits(out, "outputs/y"));
  backout_norm_backward(token_shape(p), bits(in, "x"), bits(in, "x_back"), beta, bits(in, "grad_y"),
                        bits(out, "grads/x"), bits(out, "grads/x_back"), number(out, "grads/beta"));
}

void relu_squared(const Parameters& p, const Arrays& in, Arrays& out) {
  relu_squared_forward(token_shape(p), bits(in, "p"), bits(out, "outputs/h"));
  relu_squared_backward(token_shape(p), bits(in, "p"), bits(in, "grad_h"), bits(out, "grads/p"));
}

void residual_mix(const Parameters& p, const Arrays& in, Arrays& out) {
  const float rho = number(in, "rho"), lam = number(in, "lam");
  mix_forward(token_shape(p), bits(in, "x"), bits(in, "x0"), rho, lam, bits(out, "outputs/mixed"));
  mix_backward(token_shape(p), bits(in, "x"), bits(in, "x0"), rho, lam, bits(in, "grad_mixed"),
               bits(out, "grads/x"), bits(out, "grads/x0"), number(out, "grads/rho"),
               number(out, "grads/lam"));
}

void backout(const Parameters& p, const Arrays& in, Arrays& out) {
  const float factor = -number(in, "beta");
  float unused = 0, grad_factor = 0;
  mix_forward(token_shape(p), bits(in, "x"), bits(in, "x_back"), 1, factor,
              bits(out, "outputs/reduced"));
  mix_backward(token_shape(p), bits(in, "x"), bits(in, "x_back"), 1, factor,
               bits(in, "grad_reduced"), bits(out, "grads/x"), bits(out, "grads/x_back"), &unused,
               &grad_factor);
  *number(out, "grads/beta") = -grad_factor;
}

void output_gate(const Parameters& p, const Arrays& in, Arrays& out) {
  output_gate_forward(head_shape(p), bits(in, "y"), bits(in, "a"), bits(in, "w"),
                      bits(out, "outputs/gated"));
  output_gate_backward(head_shape(p), bits(in, "y"), bits(in, "a"), bits(in, "w"),
                       bits(in, "grad_gated"), bits(out, "grads/y"), bits(out, "grads/a"),
                       bits(out, "grads/w"));
}

void value_mix(const Parameters& p, const Arrays& in, Arrays& out) {
  value_mix_forward(head_shape(p), bits(in, "v"), bits(in, "ve"), bits(in, "a"), bits(in, "w"),
                    bits(out, "outputs/mixed"));
  value_mix_backward(head_shape(p), bits(in, "ve"), bits(in, "a"), bits(in, "w"),
                     bits(in, "grad_mixed"), bits(out, "grads/v"), bits(out, "grads/ve"),
                     bits(out, "grads/a"), bits(out, "grads/w"));
}

void skip(const Parameters& p, const Arrays& in, Arrays& out) {
  const float theta = number(in, "theta");
  skip_forward(token_shape(p), bits(in, "x"), bits(in, "x_skip"), bits(in, "x0"), bits(in, "w"),
               theta, bits(out, "outputs/mixed"));
  skip_backward(token_shape(p), bits(in, "x_skip"), bits(in, "x0"), bits(in, "w"), theta,
                bits(in, "grad_mixed"), bits(out, "grads/x"), bits(out, "grads/x_skip"),
                bits(out, "grads/x0"), bits(out, "grads/w"), number(out, "grads/theta"));
}

void smear(const Parameters& p, const Arrays& in, Arrays& out) {
  const float lam = number(in, "lam");
  smear_forward(token_shape(p), bits(in, "e"), bits(in, "w"), lam, bits(out, "outputs/s"));
  smear_backward(token_shape(p), bits(in, "e"), bits(in, "w"), lam, bits(in, "grad_s"),
                 bits(out, "grads/e"), bits(out, "grads/w"), number(out, "grads/lam"));
}

void lookup(const Parameters& p, const Arrays& in, Arrays& out, const std::string& table,
            const std::string& e) {
  const auto* tokens = in.at("tokens").as<std::int32_t>();
  embedding_forward(token_shape(p), tokens, bits(in, table), bits(out, "outputs/" + e));
  embedding_backward(token_shape(p), tokens, bits(in, "grad_" + e), nullptr, extent(p, "V"),
                     bits(out, "grads/" + table));
}

void embedding(const Parameters& p, const Arrays& in, Arrays& out) {
  lookup(p, in, out, "table", "e");
}

void embed_smear_norm(const Parameters& p, const Arrays& in, Arrays& out) {
  const TokenShape shape = token_shape(p);
  const auto* tokens = in.at("tokens").as<std::int32_t>();
  const float lam = number(in, "lam");
  std::vector<std::uint16_t> grad_e(static_cast<std::size_t>(shape.size()));
  embed_smear_norm_forward(shape, tokens, bits(in, "table"), bits(in, "w"), lam,
                           bits(out, "outputs/x0"));
  embed_smear_norm_backward(shape, tokens, bits(in, "table"), bits(in, "w"), lam,
                            bits(in, "grad_x0"), bits_or_null(in, "grad_x"), grad_e.data(),
                            bits(out, "grads/w"), number(out, "grads/lam"));
  embedding_backward(shape, tokens, grad_e.data(), bits_or_null(in, "grad_table_before"),
                     extent(p, "V"), bits(out, "grads/table"));
}

void value_embedding(const Parameters& p, const Arrays& in, Arrays& out) {
  for (const std::string n : {"0", "1", "2"}) lookup(p, in, out, "value_embed_" + n, "ve_" + n);
}

void linear(const Parameters& p, const Arrays& in, Arrays& out) {
  linear_forward(matrix_shape(p), bits(in, "x"), bits(in, "w"), bits(out, "outputs/y"));
  linear_backward(matrix_shape(p), bits(in, "x"), bits(in, "w"), bits(in, "grad_y"),
                  bits(out, "grads/x"), bits(out, "grads/w"));
}

void lambda_linear(const Parameters& p, const Arrays& in, Arrays& out) {
  const float lambda = number(in, "lambda");
  lambda_linear_forward(matrix_shape(p), bits(in, "a"), bits(in, "w"), lambda,
                        bits(out, "outputs/u"));
  lambda_linear_backward(matrix_shape(p), bits(in, "a"), bits(in, "w"), lambda, bits(in, "grad_u"),
                         bits(out, "grads/a"), bits(out, "grads/w"), number(out, "grads/lambda"));
}

void mlp(const Parameters& p, const Arrays& in, Arrays& out) {
  const MatrixShape shape = {extent(p, "T"), extent(p, "C"), extent(p, "F")};
  mlp_forward(shape, bits(in, "a"), bits(in, "c_fc"), bits(in, "c_proj"), bits(out, "outputs/out"));
  mlp_backward(shape, bits(in, "a"), bits(in, "c_fc"), bits(in, "c_proj"), bits(in, "grad_out"),
               bits(out, "grads/a"), bits(out, "grads/c_fc"), bits(out, "grads/c_proj"));
}

}  // namespace

const std::map<std::string, EmulatedRun>& emulated_trunk_runs() {
  static const std::map<std::string, EmulatedRun> runs = {{"backout", backout},
                                                          {"backout_norm", backout_norm},
                                                          {"embed_smear_norm", embed_smear_norm},
                                                          {"embedding", embedding},
                                                          {"lambda_linear", lambda_linear},
                                                          {"linear", linear},
                                                          {"mix_norm", mix_norm<false>},
                                                          {"mlp", mlp},
                                                          {"output_gate", output_gate},
                                                          {"relu_squared", relu_squared},
                                                          {"residual_mix", residual_mix},
                                                          {"rms_norm", rms_norm},
                                                          {"skip", skip},
                                                          {"skip_mix_norm", mix_norm<true>},
                                                          {"smear", smear},
                                                          {"value_embedding", value_embedding},
                                                          {"value_mix", value_mix}};
  return runs;
}

}  // namespace pairedhead
