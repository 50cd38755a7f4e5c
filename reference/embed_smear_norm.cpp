#include "reference/embed_smear_norm.h"

#include "reference/embedding.h"
#include "reference/mutant.h"
#include "reference/rms_norm.h"
#include "reference/scalar.h"
#include "reference/smear.h"
#include "reference/stored.h"

namespace pairedhead::reference {

template <class Scalar>
Tensor<Scalar> embed_smear_norm(const std::vector<Index>& tokens, const Tensor<Scalar>& table,
                                const Tensor<Scalar>& w, const Scalar& lam) {
  const Tensor<Scalar> e = embedding(tokens, table);
  if (mutated(Mutant::smear_of_normalised_rows)) return smear(rms_norm(e), w, lam);
  return rms_norm(smear(e, w, lam));
}

template <class Scalar>
EmbedSmearNormGradients<Scalar> embed_smear_norm_backward(
    const std::vector<Index>& tokens, const Tensor<Scalar>& table, const Tensor<Scalar>& w,
    const Scalar& lam, const Tensor<Scalar>& grad_x0, const Tensor<Scalar>& table_before,
    Rounding rounding) {
  const Tensor<Scalar> e = embedding(tokens, table);
  SmearGradients<Scalar> grad =
      smear_backward(e, w, lam, rms_norm_backward(smear(e, w, lam), grad_x0));
  EmbedSmearNormGradients<Scalar> result = {table_before, std::move(grad.w), grad.lam};
  if (table_before.size() == 0) result.table = Tensor<Scalar>(table.shape());
  require_shape("grad_table_before", result.table, table.shape());
  add_embedding_gradient(tokens, stored(std::move(grad.e), rounding, 0), result.table);
  return result;
}

#define INSTANTIATE(Scalar)                                                                   \
  template Tensor<Scalar> embed_smear_norm(const std::vector<Index>&, const Tensor<Scalar>&,  \
                                           const Tensor<Scalar>&, const Scalar&);             \
  template EmbedSmearNormGradients<Scalar> embed_smear_norm_backward(                         \
      const std::vector<Index>&, const Tensor<Scalar>&, const Tensor<Scalar>&, const Scalar&, \
      const Tensor<Scalar>&, const Tensor<Scalar>&, Rounding);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
