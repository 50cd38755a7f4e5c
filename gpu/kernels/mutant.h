#pragma once

#include <cuda_runtime.h>

#include <span>
#include <string_view>

// Planted bugs of the kernels, as reference/mutant.h plants them in the reference. A launcher hands
// active_kernel_mutant() to its kernel, which asks planted() at the line where the mistake would be
// made; in the production build that is constant false and the compiler removes the branch.

namespace pairedhead::gpu {

// X(name, row that kills it, trap, the mistake in words)
#define PAIREDHEAD_KERNEL_MUTANT_LIST(X)                                                           \
  X(shift_before_rotary, "qk_prepare", "SPEC §11.15", "keys are shifted before they are rotated")  \
  X(zero_row_before_first, "qk_prepare", "SPEC §11.18", "shifted channels of row 0 are zero")      \
  X(rotary_backward_same_angle, "qk_prepare", "own", "backward rotates by the forward angle")      \
  X(no_stagger, "qk_prepare", "own", "every head reads the table's columns [0, D)")                \
  X(window_doubled, "attention_paired", "SPEC §11.4", "the window counts tokens")                  \
  X(window_exclusive, "attention_plain", "SPEC §11.5", "the oldest key of the window is lost")     \
  X(crosses_documents, "attention_plain", "own", "only the window bounds the keys")                \
  X(sees_next_row, "attention_plain", "own", "the forward lets a row see the next one")            \
  X(old_edge_unmasked, "attention_plain", "own", "blocks on the old edge are taken whole")         \
  X(first_block_skipped, "attention_plain", "own", "the oldest block of keys is not visited")      \
  X(last_block_skipped, "attention_plain", "own", "keys miss the last block of queries")           \
  X(delta_missing, "attention_plain", "own", "the query gradient leaves delta out")                \
  X(key_gradient_unscaled, "attention_plain", "own", "the key gradient lacks the softmax scale")   \
  X(logsumexp_in_base_two, "attention_plain", "own", "the sum enters logsumexp as log2")           \
  X(quantised_by_bf16_scale, "quantise_fp8", "own", "the scale is rounded to bf16")                \
  X(activation_scale_of_weights, "head_fp8", "own", "activations have the weights' scale")         \
  X(head_scales_exchanged, "head_fp8", "own", "dx is scaled by the activations' scale")            \
  X(softcap_offset_sign, "softcap_loss", "SPEC §11.30", "(z - 5) for (z + 5)")                     \
  X(mtp_tail_wraps, "softcap_loss", "SPEC §11.31", "horizons past the end read the first targets") \
  X(mtp_divided_by_weights, "softcap_loss", "SPEC §11.32", "terms are divided by all weights")     \
  X(coinciding_targets_count_once, "softcap_loss", "own", "a target of two horizons counts once")  \
  X(logsumexp_without_softcap, "softcap_loss", "own", "lse is that of z")                          \
  X(gradient_in_e4m3, "softcap_loss_fp8", "SPEC §11.35", "the gradient is quantised to e4m3")      \
  X(gradient_scale_omitted, "softcap_loss_fp8", "SPEC §11.35", "its scale lacks the 1/448")        \
  X(transpose_not_permuted, "softcap_loss_fp8", "own", "16 rows are taken from another's place")   \
  X(nesterov_with_old_moment, "momentum", "SPEC §11.47", "the look ahead uses the old moment")     \
  X(split_mask_strict, "cautious_split_update", "SPEC §11.40", "a zero direction decays nothing")  \
  X(split_mask_after_update, "cautious_split_update", "SPEC §11.41", "the mask sees the new z")    \
  X(split_rounds_to_nearest, "cautious_split_update", "SPEC §11.42", "the upper half is rounded")  \
  X(adam_epsilon_inside_root, "adam_step", "SPEC §11.37", "sqrt(v + eps)")                         \
  X(adam_decay_by_rate, "adam_step", "SPEC §11.38", "decay by lr wd instead of lr^2 wd")           \
  X(adam_mask_keeps_zero, "adam_step", "SPEC §11.39", "a zero update decays")                      \
  X(polar_without_safety, "polar_normalise", "SPEC §11.48", "the norm without its factor 1.02")    \
  X(polar_coefficients_exchanged, "polar_iteration", "own", "b and c change places")               \
  X(polar_four_iterations, "polar_express", "own", "the last iteration is missing")                \
  X(variance_of_columns, "variance_reduction", "SPEC §11.45", "statistics of the transposed")      \
  X(variance_before_update, "variance_reduction", "SPEC §11.46", "the old S divides")              \
  X(shape_factor_of_views, "normuon_step", "SPEC §11.43", "attention's factor is 1 instead of 2")  \
  X(bank_as_one_matrix, "normuon_step", "SPEC §11.44", "Q, K, V, O are orthogonalised together")   \
  X(addend_lost, "polar_iteration", "own", "a product leaves out what it is added to")             \
  X(attention_residual_lost, "model", "own", "the stream before attention is not added")           \
  X(mlp_residual_lost, "model", "own", "the stream before the MLP is not added")                   \
  X(lambda_gradient_scaled, "lambda_linear", "own", "lambda's gradient is of the scaled gradient") \
  X(relu_slope_halved, "mlp", "own", "the gradient of relu^2 lacks its factor 2")                  \
  X(c_proj_transposed, "mlp", "SPEC §11.27", "c_proj is read as [out, in]")                        \
  X(value_gate_not_doubled, "value_mix", "SPEC §11.22", "the value gate lacks its factor 2")       \
  X(value_gate_on_sum, "value_mix", "SPEC §11.23", "the value gate multiplies v + ve")             \
  X(gate_slope_as_gate, "output_gate", "own", "the gate's slope lacks its factor 1 - sig")         \
  X(gates_gradient_overwritten, "model", "own", "of two gates' gradients of a the last counts")    \
  X(table_gradient_overwritten, "model", "own", "of two layers' gradients of a table one counts")  \
  X(norm_epsilon_of_bf16, "rms_norm", "SPEC §11.29", "epsilon 2^-7 for 2^-23")                     \
  X(norm_backward_loses_residual, "rms_norm", "own", "what passes beside the norm is lost")        \
  X(mix_rho_gradient_of_mixed, "mix_norm", "own", "d(rho) is <g, mixed>")                          \
  X(mix_drops_x0_before, "mix_norm", "own", "later layers' gradient of x0 is lost")                \
  X(mix_drops_gates, "mix_norm", "own", "the gates' gradient of a is lost")                        \
  X(skip_after_mix, "skip_mix_norm", "SPEC §11.24", "the skip is added after the mix")             \
  X(skip_gate_undoubled, "skip_mix_norm", "SPEC §11.22", "the skip gate lacks its factor 2")       \
  X(backout_adds, "backout_norm", "own", "beta x_back is added")                                   \
  X(backout_gradient_unsigned, "backout_norm", "own", "d(x_back) is beta g")                       \
  X(smear_recursive, "embed_smear_norm", "SPEC §11.20", "the smeared previous token is added")     \
  X(smear_adjoint_loses_next, "embed_smear_norm", "own", "de lacks what the next token gives")     \
  X(scatter_keeps_last, "value_embedding", "own", "of a token's rows the last one counts")         \
  X(scatter_overwrites, "embed_smear_norm", "own", "a tied table loses the head's gradient")

enum class KernelMutant {
  none,
#define X(name, component, trap, what) name,
  PAIREDHEAD_KERNEL_MUTANT_LIST(X)
#undef X
};

struct KernelMutantInfo {
  KernelMutant mutant;
  std::string_view component;  // the row that kills it (SPEC §12.1)
  std::string_view trap;       // "SPEC §11.4", or "own"
  std::string_view what;       // the mistake, in words
};

#ifdef PAIREDHEAD_MUTANTS
KernelMutant& active_kernel_mutant();  // settable
std::string_view name_of(KernelMutant mutant);
std::span<const KernelMutantInfo> kernel_mutant_table();  // in the order of the list
__host__ __device__ constexpr bool planted(KernelMutant active, KernelMutant mutant) {
  return active == mutant;
}
#else
constexpr KernelMutant active_kernel_mutant() { return KernelMutant::none; }
__host__ __device__ constexpr bool planted(KernelMutant, KernelMutant) { return false; }
#endif

}  // namespace pairedhead::gpu
