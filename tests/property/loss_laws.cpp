#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "reference/random.h"
#include "reference/softcap.h"
#include "reference/softcap_loss.h"

// Laws of the softcap and of the loss over it (SPEC §3.8, §3.9).

namespace pairedhead::reference {
namespace {

struct LossCase {
  Tensor<double> z;
  std::vector<Index> targets;
  LossSettings settings;
};

LossCase drawn() {
  const auto tokens = *rc::gen::inRange<Index>(1, 9), columns = *rc::gen::inRange<Index>(2, 30);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  LossCase c{Tensor<double>({tokens, columns}), {}, {}};
  for (double& x : c.z.values()) x = 8 * random.normal();
  for (Index t = 0; t < tokens; ++t) c.targets.push_back(random.integer(0, columns - 1));
  c.settings.mtp_weights.resize(*rc::gen::inRange<std::size_t>(1, 4));
  for (double& weight : c.settings.mtp_weights) weight = random.uniform01();
  return c;
}

// The logit that the cap takes to l.
double uncapped(double l) { return -5 - 7.5 * std::log(23 / l - 1); }

RC_GTEST_PROP(SoftcapLaws, StaysWithinItsRangeAndRises, ()) {
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  const double low = 60 * random.normal(), high = low + random.uniform01();
  const double l = softcapped(low), above = softcapped(high);
  RC_ASSERT(l >= 0 && above <= 23);
  RC_ASSERT(l <= above);
  const double slope = softcap_slope(l);
  RC_ASSERT(slope >= 0);
  RC_ASSERT(slope <= 23.0 / 30 * (1 + 0x1p-50));
}

// l(-5 + u) + l(-5 - u) = 23.
RC_GTEST_PROP(SoftcapLaws, IsSymmetricAboutMinusFive, ()) {
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  const double u = 10 * random.normal();
  RC_ASSERT(std::abs(softcapped(-5 + u) + softcapped(-5 - u) - 23) <= 23 * 0x1p-49);
}

// Capped logits that all move by c leave the loss, which compares them, where it was; logits that
// move before the cap do not.
RC_GTEST_PROP(LossLaws, OnlyDifferencesOfCappedLogitsCount, ()) {
  LossCase c = drawn();
  for (double& z : c.z.values())
    z = uncapped(5 + 10 * (1 / (1 + std::exp(-z / 8))));  // l in (5, 15)
  const auto before = softcap_loss(c.z, c.targets, c.settings);
  Tensor<double> shifted = c.z;
  const double shift = 3;
  for (double& z : shifted.values()) z = uncapped(softcapped(z) + shift);
  const auto after = softcap_loss(shifted, c.targets, c.settings);
  RC_ASSERT(std::abs(after.loss - before.loss) <= 1e-12 * (1 + before.loss));
  for (Index t = 0; t < c.z.dim(0); ++t) {
    RC_ASSERT(std::abs(after.logsumexp[t] - before.logsumexp[t] - shift) <= 1e-12 * 23);
  }
}

// So the gradient of each row, taken before the cap's slope, sums to zero.
RC_GTEST_PROP(LossLaws, GradientsOfARowCancel, ()) {
  const LossCase c = drawn();
  const auto forward = softcap_loss(c.z, c.targets, c.settings);
  const auto grad = softcap_loss_backward(c.z, forward.logsumexp, c.targets, c.settings, 1.0);
  for (Index t = 0; t < c.z.dim(0); ++t) {
    double sum = 0, terms = 0;
    for (Index n = 0; n < c.z.dim(1); ++n) {
      const double grad_l = grad(t, n) / softcap_slope(softcapped(c.z(t, n)));
      sum += grad_l;
      terms += std::abs(grad_l);
    }
    RC_ASSERT(std::abs(sum) <= 1e-12 * (1 + terms));
  }
}

// The loss is linear in the weights, and a horizon that leaves the sequence adds nothing.
RC_GTEST_PROP(LossLaws, HorizonsAdd, ()) {
  const LossCase c = drawn();
  double sum = 0;
  for (std::size_t k = 0; k < c.settings.mtp_weights.size(); ++k) {
    LossSettings alone = c.settings;
    for (std::size_t other = 0; other < alone.mtp_weights.size(); ++other) {
      if (other != k) alone.mtp_weights[other] = 0;
    }
    const double loss = softcap_loss(c.z, c.targets, alone).loss;
    if (static_cast<Index>(k) >= c.z.dim(0)) RC_ASSERT(loss == 0);
    sum += loss;
  }
  const double loss = softcap_loss(c.z, c.targets, c.settings).loss;
  RC_ASSERT(std::abs(loss - sum) <= 1e-13 * (1 + loss));
}

// Positions past the last horizon's reach may change their later targets' logits without touching
// the last position's loss: the last K - 1 positions read fewer targets.
RC_GTEST_PROP(LossLaws, TheLastPositionReadsItsOwnTargetOnly, ()) {
  LossCase c = drawn();
  const Index tokens = c.z.dim(0);
  if (tokens < 2) return;
  const auto forward = softcap_loss(c.z, c.targets, c.settings);
  const auto grad = softcap_loss_backward(c.z, forward.logsumexp, c.targets, c.settings, 1.0);
  std::vector<Index> others = c.targets;
  for (Index t = 0; t + 1 < tokens; ++t) {
    others[static_cast<std::size_t>(t)] = (others[static_cast<std::size_t>(t)] + 1) % c.z.dim(1);
  }
  const auto changed = softcap_loss_backward(c.z, forward.logsumexp, others, c.settings, 1.0);
  for (Index n = 0; n < c.z.dim(1); ++n) RC_ASSERT(changed(tokens - 1, n) == grad(tokens - 1, n));
}

}  // namespace
}  // namespace pairedhead::reference
