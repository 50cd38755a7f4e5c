#pragma once

#include <vector>

#include "reference/pairing.h"
#include "tools/components/component.h"

namespace pairedhead {

// The rows of the table by family; component_table() in table.cpp puts them in order.
std::vector<Component> movement_rows();   // interleave, deinterleave, key_shift
std::vector<Component> rotary_rows();     // rotary_table, yarn_update, rotary_plain, rotary_paired
std::vector<Component> qk_rows();         // qk_norm, qk_prepare
std::vector<Component> attention_rows();  // attention_plain, attention_paired
std::vector<Component> trunk_rows();      // norm, relu_squared, gates and mixes
std::vector<Component> embedding_rows();  // embedding, value_embedding
std::vector<Component> linear_rows();     // linear, lambda_linear, mlp
std::vector<Component> data_rows();       // window_schedule, document_packer, shard_reader

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

Pairing pairing_of(const Parameters& parameters);  // none where the parameter is absent

}  // namespace pairedhead
