#pragma once

#include <vector>

#include "reference/pairing.h"
#include "reference/scalar.h"
#include "tools/components/component.h"

namespace pairedhead {

// The rows of the table by family; component_table() in table.cpp puts them in order.
std::vector<Component> movement_rows();   // interleave, deinterleave, key_shift
std::vector<Component> rotary_rows();     // rotary_table, yarn_update, rotary_plain, rotary_paired
std::vector<Component> qk_rows();         // qk_norm, qk_prepare
std::vector<Component> attention_rows();  // attention_plain, attention_paired
std::vector<Component> trunk_rows();      // norm, relu_squared, gates and mixes
std::vector<Component> residual_rows();   // mix_norm, skip_mix_norm, backout_norm
std::vector<Component> embedding_rows();  // embedding, value_embedding, embed_smear_norm
std::vector<Component> linear_rows();     // linear, lambda_linear, mlp
std::vector<Component> head_rows();       // head_fp8, softcap, softcap_loss, softcap_loss_fp8
std::vector<Component> block_rows();      // block
std::vector<Component> model_rows();      // model
std::vector<Component> fp8_rows();        // quantise_fp8
std::vector<Component> polar_rows();      // polar_*, variance_reduction
std::vector<Component> optimizer_rows();  // momentum, cautious_split_update, adam_step
std::vector<Component> normuon_rows();    // normuon_step
std::vector<Component> schedule_rows();   // learning_rate, momentum_schedule, window_schedule
std::vector<Component> data_rows();       // document_packer, shard_reader
std::vector<Component> train_rows();      // train_step, train_trajectory
Component train_step_row();

// Shape rules that several rows share. Each throws InputError with one sentence.
void check_tokens(const Parameters& parameters);            // T >= 1
void check_heads(const Parameters& parameters, bool even);  // H >= 1, even where heads are paired
void check_head_dim(const Parameters& parameters);          // D a multiple of 8, 16 ... 128

// T, H and D drawn together so that T * H * D stays under size * limit elements.
Parameters draw_token_shape(Random& random, double size, bool even_heads, Index limit);

// Smaller T, H and D, the boldest first.
std::vector<Parameters> shrink_token_shape(const Parameters& parameters, bool even_heads);
// The same for H, D and fill only, where T belongs to documents.
std::vector<Parameters> shrink_heads(const Parameters& parameters, bool even_heads);

// Smaller values of one integer, the boldest first, none under `least`.
std::vector<Parameters> smaller_values(const Parameters& parameters, const char* name, Index least);
// Throws InputError with one sentence unless the integer is at least that.
void check_at_least(const Parameters& parameters, const char* name, Index least);

// A bitwise row without a GPU form, which stands in the table so that goldens hold it.
Component host_row(const std::string& name, const std::string& section,
                   const std::vector<std::string>& outputs, DType dtype);

// The a_i of an error scale from a row that was evaluated in Magnitude.
Values magnitudes(const std::map<std::string, Tensor<Magnitude>>& evaluated);

Pairing pairing_of(const Parameters& parameters);  // none where the parameter is absent

}  // namespace pairedhead
