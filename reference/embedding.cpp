#include "reference/embedding.h"

#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

void check_tokens(const std::vector<Index>& tokens, Index vocabulary) {
  if (tokens.empty()) throw InputError("tokens: expected at least 1, got none");
  for (const Index token : tokens) {
    if (token < 0 || token >= vocabulary) {
      throw InputError("tokens: expected values from 0 to " + std::to_string(vocabulary - 1) +
                       ", got " + std::to_string(token));
    }
  }
}

Index length(const std::vector<Index>& tokens) { return static_cast<Index>(tokens.size()); }

}  // namespace

template <class Scalar>
Tensor<Scalar> embedding(const std::vector<Index>& tokens, const Tensor<Scalar>& table) {
  require_matrix("table", table);
  check_tokens(tokens, table.dim(0));
  Tensor<Scalar> e({length(tokens), table.dim(1)});
  for (Index t = 0; t < e.dim(0); ++t) {
    Index row = tokens[static_cast<std::size_t>(t)];
    if (mutated(Mutant::embedding_counts_from_one)) row = (row + table.dim(0) - 1) % table.dim(0);
    for (Index c = 0; c < e.dim(1); ++c) e(t, c) = table(row, c);
  }
  return e;
}

template <class Scalar>
void add_embedding_gradient(const std::vector<Index>& tokens, const Tensor<Scalar>& grad_e,
                            Tensor<Scalar>& grad_table) {
  require_matrix("grad_table", grad_table);
  check_tokens(tokens, grad_table.dim(0));
  require_shape("grad_e", grad_e, {length(tokens), grad_table.dim(1)});
  for (Index t = 0; t < grad_e.dim(0); ++t) {
    const Index row = tokens[static_cast<std::size_t>(t)];
    for (Index c = 0; c < grad_e.dim(1); ++c) {
      if (mutated(Mutant::embedding_gradient_keeps_last)) grad_table(row, c) = Scalar(0);
      grad_table(row, c) += grad_e(t, c);
    }
  }
}

template <class Scalar>
Tensor<Scalar> embedding_backward(const std::vector<Index>& tokens, const Tensor<Scalar>& grad_e,
                                  Index vocabulary) {
  require_matrix("grad_e", grad_e);
  check_tokens(tokens, vocabulary);
  Tensor<Scalar> grad_table({vocabulary, grad_e.dim(1)});
  add_embedding_gradient(tokens, grad_e, grad_table);
  return grad_table;
}

template <class Scalar>
ThreeTensors<Scalar> value_embedding(const std::vector<Index>& tokens,
                                     const ThreeTensors<Scalar>& tables) {
  ThreeTensors<Scalar> ve;
  for (std::size_t n = 0; n < 3; ++n) {
    const std::size_t table = mutated(Mutant::value_embedding_tables_reversed) ? 2 - n : n;
    ve[n] = embedding(tokens, tables[table]);
  }
  return ve;
}

template <class Scalar>
ThreeTensors<Scalar> value_embedding_backward(const std::vector<Index>& tokens,
                                              const ThreeTensors<Scalar>& grad_ve,
                                              Index vocabulary) {
  ThreeTensors<Scalar> grad;
  for (std::size_t n = 0; n < 3; ++n) {
    const std::size_t source = mutated(Mutant::value_embedding_gradients_reversed) ? 2 - n : n;
    grad[n] = embedding_backward(tokens, grad_ve[source], vocabulary);
  }
  return grad;
}

#define INSTANTIATE(Scalar)                                                                    \
  template Tensor<Scalar> embedding(const std::vector<Index>&, const Tensor<Scalar>&);         \
  template void add_embedding_gradient(const std::vector<Index>&, const Tensor<Scalar>&,       \
                                       Tensor<Scalar>&);                                       \
  template Tensor<Scalar> embedding_backward(const std::vector<Index>&, const Tensor<Scalar>&, \
                                             Index);                                           \
  template ThreeTensors<Scalar> value_embedding(const std::vector<Index>&,                     \
                                                const ThreeTensors<Scalar>&);                  \
  template ThreeTensors<Scalar> value_embedding_backward(const std::vector<Index>&,            \
                                                         const ThreeTensors<Scalar>&, Index);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
