#pragma once

#include "reference/model.h"
#include "reference/random.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// A model as the rows `block` and `model` name it: parameters
//   layers    one word a layer: P paired, s plain with the short window, L plain with the long
//   window
//             and shifted keys, n no attention; a digit after it says which value embedding is
//             added
//   H D F V   sizes
//   skip      the layer that gives x_skip and the one that takes it
//   backout   the layer whose output is subtracted at the end
//   pairing   strided or adjacent
// "layers=P1,s2,P,L,s,P,n,s,s0,P1,L2 skip=3,6 backout=7" is the record's table.
// Throws InputError where a word is none of these, and what check_config refuses.
reference::Config model_config(const Parameters& parameters);

// Words for so many layers, of every kind; the first has attention and a value embedding.
std::string draw_layers(Random& random, Index depth);

// The record's table as the words above.
std::string layer_words(const reference::Config& config);

// How the parameters of SPEC §2 travel as tensors: each family stacked in the order of its layers.
// "qkvo" [layers with attention, 4C, C], "c_fc" and "c_proj" [L, F, C], "value_embed" [3, V, C];
// the rest under their own names.
std::vector<reference::ParameterInfo> stacked_table(const reference::Config& config);

template <class Scalar>
reference::ParameterSet<Scalar> stacked(const reference::Config& config,
                                        const reference::ParameterSet<Scalar>& parameters);
template <class Scalar>
reference::ParameterSet<Scalar> unstacked(const reference::Config& config,
                                          const reference::ParameterSet<Scalar>& stacked);

}  // namespace pairedhead
