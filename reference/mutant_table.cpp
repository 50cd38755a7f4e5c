#include "reference/mutant.h"

namespace pairedhead {
namespace {

using enum Mutant;

constexpr MutantInfo table[] = {
    {interleave_exchanges_strides, "interleave", "own",
     "each pairing is read with the strides of the other"},
    {interleave_swaps_rows, "interleave", "own", "flat rows 2t and 2t+1 change places"},
    {deinterleave_swaps_rows, "deinterleave", "own", "flat rows 2t and 2t+1 change places back"},
    {deinterleave_reverses_slots, "deinterleave", "own", "slots are read in reverse order"},

    {rotary_sign, "rotary_table", "SPEC §11.7", "the sine's sign is flipped: rotation by +theta"},
    {fp32_tables, "rotary_plain", "SPEC §11.10", "cosine and sine stay in fp32"},
    {table_positions_from_one, "rotary_table", "own", "positions count from 1"},
    {paired_table_undoubled, "rotary_table", "own", "paired positions t, t+1 for 2t, 2t+1"},
    {paired_table_unstaggered, "rotary_table", "own", "both column blocks at position 2t"},
    {paired_table_blocks_swapped, "rotary_table", "own", "columns [0, D) at 2t+1, [D, 2D) at 2t"},
    {stationary_channels_rotated, "rotary_table", "own", "the upper half of the channels rotates"},
    {frequency_exponent_of_count, "rotary_table", "SPEC §11.11",
     "frequency exponents m/(D/4) for m/(D/4-1)"},
    {yarn_window_in_blocks, "yarn_update", "SPEC §11.13",
     "turns are counted in a window of blocks, not of tokens"},
    {yarn_ratio_inverted, "yarn_update", "own", "frequencies are scaled by new/old"},
    {yarn_without_clamp, "yarn_update", "own", "the interpolation weight leaves [0, 1]"},
    {yarn_softmax_scale_kept, "yarn_update", "own", "kappa is not updated"},
    {half_split_rotary, "rotary_plain", "SPEC §11.8", "channel d rotates with d + D/2"},
    {rotary_backward_same_angle, "rotary_plain", "own", "backward rotates by the forward angle"},
    {stagger_by_flat_row, "rotary_paired", "SPEC §11.2",
     "heads are staggered by flat row, not by parity"},
    {paired_heads_unstaggered, "rotary_paired", "own", "every head reads columns [0, D)"},
    {rotary_backward_other_block, "rotary_paired", "own",
     "backward reads the other head parity's columns"},

    {norm_epsilon_of_bf16, "qk_norm", "SPEC §11.29", "epsilon 2^-7 for 2^-23"},
    {norm_over_all_heads, "qk_norm", "own", "the mean runs over all heads of a token"},
    {norm_sum_not_mean, "qk_norm", "own", "the sum of squares is not divided by D"},
    {norm_backward_without_projection, "qk_norm", "own", "backward drops the projection on y"},
    {shift_upper_half_channels, "key_shift", "SPEC §11.16", "channels [D/2, D) are shifted"},
    {shift_propagates_first_row, "key_shift", "SPEC §11.17",
     "in place: shifted channels of every row are row 0"},
    {shift_zeroes_first_row, "key_shift", "SPEC §11.18", "zero for k[0] in row 0"},
    {shift_from_next_token, "key_shift", "own", "the shift goes the other way"},
    {shift_adjoint_loses_first_row, "key_shift", "SPEC §11.18", "the adjoint loses g[0]"},
    {shift_adjoint_keeps_last_row, "key_shift", "own", "the adjoint adds g[T-1] to the last row"},
    {shift_before_rotary, "qk_prepare", "SPEC §11.15", "keys are shifted before they are rotated"},
    {prepare_shifts_queries, "qk_prepare", "own", "queries are shifted too"},
    {prepare_leaves_keys_unnormalised, "qk_prepare", "own", "only queries are normalised"},
    {prepare_backward_skips_shift, "qk_prepare", "own", "backward leaves out the shift's adjoint"},

    {sees_next_token, "attention_plain", "own", "the causal mask is off by one"},
    {document_starts_late, "attention_plain", "own", "a document's first token is not seen"},
    {documents_ignored, "attention_plain", "own", "attention crosses document boundaries"},
    {exclusive_window_end, "attention_plain", "SPEC §11.5", "the window's far end is excluded"},
    {softmax_scale_root_of_width, "attention_plain", "SPEC §11.14", "1/sqrt(D) for kappa"},
    {logsumexp_without_maximum, "attention_plain", "own", "log-sum-exp lacks the row maximum"},
    {logsumexp_in_base_two, "attention_plain", "own", "log-sum-exp in base two"},
    {delta_missing, "attention_plain", "own", "backward without delta"},
    {delta_of_other_row, "attention_plain", "own", "backward with the previous query's delta"},
    {grad_score_without_probability, "attention_plain", "own", "dS lacks the factor P"},
    {value_gradient_keeps_last_query, "attention_plain", "own",
     "a value's gradient is overwritten, not added to"},
    {query_gradient_misses_scale, "attention_plain", "own", "dq lacks kappa"},
    {key_gradient_misses_scale, "attention_plain", "own", "dk lacks kappa"},

    {pair_neighbouring_heads, "attention_paired", "SPEC §11.1", "heads (0,1), (2,3) are paired"},
    {swap_rows_in_pair, "attention_paired", "SPEC §11.3", "the later heads get flat row 2t"},
    {doubled_window, "attention_paired", "SPEC §11.4", "the window is doubled"},
    {window_clipped_to_tile, "attention_paired", "own", "windows end at 64 flat rows"},
    {undoubled_cu_seqlens, "attention_paired", "SPEC §11.6",
     "flat rows are cut at undoubled cu_seqlens"},
    {early_row_sees_partner, "attention_paired", "own",
     "row 2t sees its partner's key of the same token"},
    {late_row_misses_partner, "attention_paired", "own",
     "row 2t+1 does not see its partner's key of the same token"},
    {partner_reach_rounded_down, "attention_paired", "own",
     "the partner's reach is w/2 where it is (w+1)/2"},
    {partner_value_from_own_head, "attention_paired", "own",
     "partner keys come with the query head's own values"},
    {value_gradient_ignores_partner, "attention_paired", "own",
     "dv lacks the partner head's queries"},
    {key_gradient_ignores_partner, "attention_paired", "own",
     "dk lacks the partner head's queries"},

    {window_schedule_phase_late, "window_schedule", "own", "windows change one step late"},
    {short_window_is_long, "window_schedule", "own", "the short window grows as the long one does"},
    {packer_resumes_truncated, "document_packer", "SPEC §11.51",
     "a truncated document goes on in the next row"},
    {packer_counts_extra_token, "document_packer", "SPEC §11.52",
     "cu_seqlens counts the token after the last"},
};

}  // namespace

std::span<const MutantInfo> mutant_table() { return table; }

}  // namespace pairedhead
