#pragma once

#include <array>
#include <vector>

#include "reference/tensor.h"

namespace pairedhead::reference {

// SPEC §3.1.1: e[t, :] = table[tokens[t], :]. tokens: [T]; table: [V, C]; e: [T, C]. No M point.
// Throws InputError where there is no token, or one is outside [0, V).
template <class Scalar>
Tensor<Scalar> embedding(const std::vector<Index>& tokens, const Tensor<Scalar>& table);

// SPEC §5 "tied embedding": adds grad_e[t, :] to row tokens[t] of grad_table; rows that no token
// names keep what they held, which for a tied table is the head's gradient.
// grad_e: [T, C]; grad_table: [V, C]. Throws as embedding does.
template <class Scalar>
void add_embedding_gradient(const std::vector<Index>& tokens, const Tensor<Scalar>& grad_e,
                            Tensor<Scalar>& grad_table);

// The same added to zeros: [vocabulary, C].
template <class Scalar>
Tensor<Scalar> embedding_backward(const std::vector<Index>& tokens, const Tensor<Scalar>& grad_e,
                                  Index vocabulary);

// SPEC §3.1 "Value embeddings": three tables read at the same tokens, ve[n] = tables[n][tokens].
template <class Scalar>
using ThreeTensors = std::array<Tensor<Scalar>, 3>;

// tables: [V, C] each; ve: [T, C] each. No M point.
template <class Scalar>
ThreeTensors<Scalar> value_embedding(const std::vector<Index>& tokens,
                                     const ThreeTensors<Scalar>& tables);

// grad_ve[n]: [T, C], the sum over the layers that use ve[n]; the result [vocabulary, C] each.
template <class Scalar>
ThreeTensors<Scalar> value_embedding_backward(const std::vector<Index>& tokens,
                                              const ThreeTensors<Scalar>& grad_ve,
                                              Index vocabulary);

}  // namespace pairedhead::reference
