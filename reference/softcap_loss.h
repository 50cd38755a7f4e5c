#pragma once

#include <vector>

#include "reference/tensor.h"

namespace pairedhead::reference {

// Softcap and cross entropy over the next one to three tokens, from the head's logits (SPEC §3.9).
//   training    mtp_weights w_0 ... w_{K-1}, K = 1 to 3: Loss = sum_k w_k sum_{t < T-k} (lse_t -
//   l[t,
//               targets[t + k]]); not divided by the weights' sum or by T, horizons cross documents
//   validation  the mean over t of the term k = 0; the weights are ignored
struct LossSettings {
  std::vector<double> mtp_weights = {1};
  bool validation = false;
};

template <class Scalar>
struct LossForward {
  Scalar loss;
  Tensor<Scalar> logsumexp;  // lse, [T], natural log over all V columns of exp(l)
};

// z: [T, V], before the softcap; targets: [T], targets[t] the token after input t. No M point: l
// and lse stay in fp32. Throws InputError on a z without elements, targets that are not T values
// from 0 to V - 1, and other than 1 to 3 weights.
template <class Scalar>
LossForward<Scalar> softcap_loss(const Tensor<Scalar>& z, const std::vector<Index>& targets,
                                 const LossSettings& settings);

// SPEC §5 "MTP cross entropy", "softcap": the gradient of grad_loss * Loss, [T, V]. In training
// grad_loss is 1 / (micro-batches of a rank), SPEC §9. logsumexp is that of softcap_loss.
template <class Scalar>
Tensor<Scalar> softcap_loss_backward(const Tensor<Scalar>& z, const Tensor<Scalar>& logsumexp,
                                     const std::vector<Index>& targets,
                                     const LossSettings& settings, const Scalar& grad_loss);

}  // namespace pairedhead::reference
