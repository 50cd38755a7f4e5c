#pragma once

#include <span>
#include <string_view>

// Planted bugs. Each is one trap (SPEC §11) or one of our own, written at the line where it would
// be made, as `if (mutated(Mutant::x))`. In the production build mutated() is constant false and
// the compiler removes the branch; the test-only program pairedhead-mutants is built with
// PAIREDHEAD_MUTANTS and switches one on for a run.

namespace pairedhead {

#define PAIREDHEAD_MUTANT_LIST(X)          \
  X(interleave_exchanges_strides)          \
  X(interleave_swaps_rows)                 \
  X(deinterleave_swaps_rows)               \
  X(deinterleave_reverses_slots)           \
  X(rotary_sign)                           \
  X(fp32_tables)                           \
  X(table_positions_from_one)              \
  X(paired_table_undoubled)                \
  X(paired_table_unstaggered)              \
  X(paired_table_blocks_swapped)           \
  X(stationary_channels_rotated)           \
  X(frequency_exponent_of_count)           \
  X(yarn_window_in_blocks)                 \
  X(yarn_ratio_inverted)                   \
  X(yarn_without_clamp)                    \
  X(yarn_softmax_scale_kept)               \
  X(half_split_rotary)                     \
  X(rotary_backward_same_angle)            \
  X(stagger_by_flat_row)                   \
  X(paired_heads_unstaggered)              \
  X(rotary_backward_other_block)           \
  X(norm_epsilon_of_bf16)                  \
  X(norm_over_all_heads)                   \
  X(norm_sum_not_mean)                     \
  X(norm_backward_without_projection)      \
  X(shift_upper_half_channels)             \
  X(shift_propagates_first_row)            \
  X(shift_zeroes_first_row)                \
  X(shift_from_next_token)                 \
  X(shift_adjoint_loses_first_row)         \
  X(shift_adjoint_keeps_last_row)          \
  X(shift_before_rotary)                   \
  X(prepare_shifts_queries)                \
  X(prepare_leaves_keys_unnormalised)      \
  X(prepare_backward_skips_shift)          \
  X(sees_next_token)                       \
  X(document_starts_late)                  \
  X(documents_ignored)                     \
  X(exclusive_window_end)                  \
  X(softmax_scale_root_of_width)           \
  X(logsumexp_without_maximum)             \
  X(logsumexp_in_base_two)                 \
  X(delta_missing)                         \
  X(delta_of_other_row)                    \
  X(grad_score_without_probability)        \
  X(value_gradient_keeps_last_query)       \
  X(query_gradient_misses_scale)           \
  X(key_gradient_misses_scale)             \
  X(pair_neighbouring_heads)               \
  X(swap_rows_in_pair)                     \
  X(doubled_window)                        \
  X(window_clipped_to_tile)                \
  X(undoubled_cu_seqlens)                  \
  X(early_row_sees_partner)                \
  X(late_row_misses_partner)               \
  X(partner_reach_rounded_down)            \
  X(partner_value_from_own_head)           \
  X(value_gradient_ignores_partner)        \
  X(key_gradient_ignores_partner)          \
  X(rms_norm_over_all_tokens)              \
  X(rms_norm_subtracts_mean)               \
  X(relu_squared_keeps_negatives)          \
  X(relu_squared_backward_without_two)     \
  X(residual_mix_scales_sum)               \
  X(residual_mix_gradients_exchanged)      \
  X(backout_adds)                          \
  X(backout_gradient_sign)                 \
  X(output_gate_doubled)                   \
  X(output_gate_heads_reversed)            \
  X(output_gate_slope_missing)             \
  X(value_gate_undoubled)                  \
  X(value_gate_on_sum)                     \
  X(value_gate_gradient_of_value)          \
  X(skip_gate_undoubled)                   \
  X(skip_gate_reads_residual)              \
  X(skip_theta_slope_missing)              \
  X(smear_recursive)                       \
  X(smear_gate_of_previous_token)          \
  X(smear_adjoint_loses_next_token)        \
  X(mix_norm_loses_stream_gradient)        \
  X(skip_mix_gradient_unscaled)            \
  X(backout_norm_before_backout)           \
  X(smear_of_normalised_rows)              \
  X(embedding_counts_from_one)             \
  X(embedding_gradient_keeps_last)         \
  X(value_embedding_tables_reversed)       \
  X(value_embedding_gradients_reversed)    \
  X(linear_skips_last_channel)             \
  X(linear_weight_gradient_of_last_token)  \
  X(lambda_missing_in_input_gradient)      \
  X(lambda_missing_in_weight_gradient)     \
  X(lambda_gradient_of_scaled_weight)      \
  X(mlp_projection_read_transposed)        \
  X(mlp_backward_without_relu)             \
  X(head_gradient_in_e4m3)                 \
  X(head_gradient_scale_omitted)           \
  X(head_gradient_scales_exchanged)        \
  X(validation_head_is_fp8)                \
  X(softcap_offset_sign)                   \
  X(softcap_thirty_tanh)                   \
  X(softcap_slope_without_divisor)         \
  X(mtp_tail_wraps)                        \
  X(mtp_divided_by_weights)                \
  X(training_loss_is_mean)                 \
  X(mtp_third_weight_dropped)              \
  X(validation_loss_is_sum)                \
  X(loss_skips_last_column)                \
  X(coinciding_targets_count_once)         \
  X(loss_gradient_skips_softcap)           \
  X(head_gradient_rounded_once)            \
  X(output_projection_transposed)          \
  X(skip_after_mix)                        \
  X(attention_without_norm)                \
  X(value_embedding_scaled_by_alpha)       \
  X(mlp_beside_attention)                  \
  X(output_gate_input_gradient_lost)       \
  X(residual_gradient_lost)                \
  X(shift_reset_at_documents)              \
  X(smear_reset_at_documents)              \
  X(skip_stream_before_block)              \
  X(backout_stream_before_block)           \
  X(entry_gradient_lost)                   \
  X(long_layers_get_short_window)          \
  X(softmax_scale_stays_at_start)          \
  X(final_norm_missing)                    \
  X(skip_gradient_lost)                    \
  X(value_embedding_gradient_of_first_use) \
  X(tied_gradient_of_head_only)            \
  X(split_lookup_reads_head)               \
  X(fp8_formats_exchanged)                 \
  X(fp8_without_scale)                     \
  X(fp8_truncates)                         \
  X(fp8_overflow_to_nan)                   \
  X(fp8_quotient_in_bf16)                  \
  X(polar_without_safety)                  \
  X(polar_norm_of_rows)                    \
  X(polar_coefficients_exchanged)          \
  X(polar_half_unmirrored)                 \
  X(polar_without_linear_term)             \
  X(polar_four_iterations)                 \
  X(polar_first_coefficients_kept)         \
  X(variance_of_columns)                   \
  X(variance_before_update)                \
  X(variance_norm_not_restored)            \
  X(variance_added_whole)                  \
  X(momentum_adds_whole_gradient)          \
  X(nesterov_with_old_moment)              \
  X(momentum_without_look_ahead)           \
  X(split_mask_strict)                     \
  X(split_mask_opposite)                   \
  X(split_mask_after_update)               \
  X(split_rounds_to_nearest)               \
  X(split_decay_without_rate)              \
  X(split_mantissa_unread)                 \
  X(normuon_shape_of_views)                \
  X(normuon_bank_as_one)                   \
  X(normuon_decay_without_multiplier)      \
  X(adam_betas_exchanged)                  \
  X(adam_updates_from_zero)                \
  X(adam_without_bias_correction)          \
  X(adam_epsilon_inside_root)              \
  X(adam_epsilon_after_correction)         \
  X(adam_decay_by_rate)                    \
  X(adam_mask_keeps_zero)                  \
  X(rate_changes_with_phase)               \
  X(rate_of_extension_is_top)              \
  X(rate_cools_to_zero)                    \
  X(momentum_warms_from_step_one)          \
  X(momentum_cools_before_extension)       \
  X(window_schedule_phase_late)            \
  X(short_window_is_long)                  \
  X(packer_resumes_truncated)              \
  X(packer_counts_extra_token)             \
  X(targets_unshifted)                     \
  X(batch_size_late)                       \
  X(loss_not_divided)                      \
  X(ranks_summed)                          \
  X(yarn_at_final_validation)              \
  X(adam_every_step)                       \
  X(even_gradients_dropped)                \
  X(adam_rate_of_even_step)                \
  X(split_before_update)                   \
  X(split_forgets_moments)

enum class Mutant {
  none,
#define X(name) name,
  PAIREDHEAD_MUTANT_LIST(X)
#undef X
};

std::string_view name_of(Mutant mutant);

// What a mutant is and which row of the component table must notice it.
struct MutantInfo {
  Mutant mutant;
  std::string_view component;  // the row that kills it (SPEC §12.1)
  std::string_view trap;       // "SPEC §11.4", or "own"
  std::string_view what;       // the mistake, in words
};

// All of them, in the order of PAIREDHEAD_MUTANT_LIST.
std::span<const MutantInfo> mutant_table();

#ifdef PAIREDHEAD_MUTANTS
// The mutant switched on in this process.
Mutant active_mutant();
void activate(Mutant mutant);
inline bool mutated(Mutant mutant) { return active_mutant() == mutant; }
#else
constexpr bool mutated(Mutant) { return false; }
#endif

}  // namespace pairedhead
