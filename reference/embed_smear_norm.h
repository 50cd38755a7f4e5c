#pragma once

#include <vector>

#include "reference/rounding.h"
#include "reference/tensor.h"

namespace pairedhead::reference {

// From tokens to the stream, which the trainer launches as one kernel (SPEC §3.1.1-4):
// x0 = rms(smear(table[tokens])). tokens: [T]; table: [V, C], C >= 12; w: [1, 12]; lam, the smear
// lambda, fp32; x0: [T, C]. No M point: the smeared rows are never stored.
// Throws InputError on tokens outside the table and shapes that do not fit.
template <class Scalar>
Tensor<Scalar> embed_smear_norm(const std::vector<Index>& tokens, const Tensor<Scalar>& table,
                                const Tensor<Scalar>& w, const Scalar& lam);

template <class Scalar>
struct EmbedSmearNormGradients {
  Tensor<Scalar> table, w;
  Scalar lam;
};
// SPEC §5 "rms_norm", "smear", "tied embedding". grad_x0: [T, C]; table_before: [V, C], what the
// table has from the head where it is tied, or empty. Its one M point is the gradient of the
// tokens' rows, stored before they are summed by table row.
template <class Scalar>
EmbedSmearNormGradients<Scalar> embed_smear_norm_backward(
    const std::vector<Index>& tokens, const Tensor<Scalar>& table, const Tensor<Scalar>& w,
    const Scalar& lam, const Tensor<Scalar>& grad_x0, const Tensor<Scalar>& table_before,
    Rounding rounding);

}  // namespace pairedhead::reference
