#include "reference/softcap_loss.h"

#include <gtest/gtest.h>

#include "reference/softcap.h"
#include "tests/reference/support.h"
#include "tests/refusal.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

double loss_of(const Tensor<double>& z, const std::vector<Index>& targets,
               const LossSettings& settings) {
  return softcap_loss(z, targets, settings).loss;
}

template <class Scalar>
Tensor<Scalar> gradient(const Tensor<Scalar>& z, const std::vector<Index>& targets,
                        const LossSettings& settings, double grad_loss = 1) {
  const auto forward = softcap_loss(z, targets, settings);
  return softcap_loss_backward(z, forward.logsumexp, targets, settings, Scalar(grad_loss));
}

// Equal logits: every term is ln V, whatever the cap makes of them. V = 8, T = 4.
TEST(SoftcapLoss, OfAGuessIsLogV) {
  const Tensor<double> z({4, 8}, 1.5);
  const std::vector<Index> targets = {0, 7, 3, 3};
  const double term = std::log(8.0), few = 64 * 0x1p-53;
  EXPECT_NEAR(loss_of(z, targets, {.mtp_weights = {1}}), 4 * term, 23 * few);
  // Horizons of 4, 3 and 2 positions; not divided by the weights' sum or by T.
  EXPECT_NEAR(loss_of(z, targets, {.mtp_weights = {1, 0.5}}), (4 + 1.5) * term, 23 * few);
  EXPECT_NEAR(loss_of(z, targets, {.mtp_weights = {1, 0.5, 0.25}}), (4 + 1.5 + 0.5) * term,
              23 * few);
  // The mean of the first horizon, whatever the weights.
  EXPECT_NEAR(loss_of(z, targets, {.mtp_weights = {9, 9, 9}, .validation = true}), term, 23 * few);
}

// Two columns at the cap's centre and where it is 3/4 of 23: l = 11.5 and 17.25.
TEST(SoftcapLoss, HandWorkedPair) {
  Tensor<double> z({1, 2});
  z[0] = -5;
  z[1] = -5 + 7.5 * std::log(3.0);
  const auto forward = softcap_loss(z, {0}, {.mtp_weights = {1}});
  const double lse = std::log(std::exp(11.5) + std::exp(17.25));
  EXPECT_NEAR(forward.logsumexp[0], lse, 1e-14);
  EXPECT_NEAR(forward.loss, lse - 11.5, 1e-14);
  const double p = std::exp(17.25 - lse);  // dl = (-p, p), slopes 23/30 and 23 * 3/16 / 7.5
  const Tensor<double> grad = gradient(z, {0}, {.mtp_weights = {1}}, 0.125);
  EXPECT_NEAR(grad[0], -0.125 * p * 23 / 30, 1e-15);
  EXPECT_NEAR(grad[1], 0.125 * p * 23 * 3 / 16 / 7.5, 1e-15);
}

TEST(SoftcapLoss, TailHasNoHorizon) {
  Random random(1);
  const Tensor<double> z = normal_tensor({3, 5}, random);
  const std::vector<Index> targets = {4, 0, 2};
  const auto term = [&](Index t, Index target) {
    double sum = 0;
    for (Index n = 0; n < 5; ++n) sum += std::exp(softcapped(z(t, n)));
    return std::log(sum) - softcapped(z(t, target));
  };
  const double expected =
      term(0, 4) + term(1, 0) + term(2, 2) + 0.5 * (term(0, 0) + term(1, 2)) + 0.25 * term(0, 2);
  EXPECT_NEAR(loss_of(z, targets, {.mtp_weights = {1, 0.5, 0.25}}), expected, 1e-13);
  // More horizons than tokens.
  EXPECT_NEAR(loss_of(normal_tensor({1, 5}, random), {1}, {.mtp_weights = {0, 1, 1}}), 0, 0);
}

TEST(SoftcapLoss, CoincidingTargetsAdd) {
  Random random(2);
  const Tensor<double> z = normal_tensor({2, 6}, random);
  const LossSettings both = {.mtp_weights = {1, 0.5}}, first = {.mtp_weights = {1}},
                     second = {.mtp_weights = {0, 0.5}};
  const std::vector<Index> targets = {3, 3};
  const Tensor<double> sum = gradient(z, targets, both), one = gradient(z, targets, first),
                       other = gradient(z, targets, second);
  for (Index i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], one[i] + other[i], 1e-15);
}

TEST(SoftcapLoss, BackwardIsTheTransposedDerivative) {
  Random random(3);
  const std::vector<Index> targets = {1, 1, 8, 0, 1};
  for (const LossSettings& settings :
       {LossSettings{.mtp_weights = {1, 0.5, 0.2}}, LossSettings{.mtp_weights = {1, 0.3}},
        LossSettings{.mtp_weights = {1}}, LossSettings{.mtp_weights = {1}, .validation = true}}) {
    Tensor<double> z = normal_tensor({5, 9}, random);
    for (double& x : z.values()) x *= 5;
    const Tensor<double> dz = normal_tensor(z.shape(), random);
    const double forwards = 0.7 * softcap_loss(dual(z, dz), targets, settings).loss.derivative;
    InnerProduct backwards;
    backwards.add(gradient(z, targets, settings, 0.7), dz);
    EXPECT_LE(std::abs(forwards - backwards.value),
              certified_limit * (std::abs(forwards) + backwards.absolute));
  }
}

TEST(SoftcapLoss, DoubleIsAsGoodAsItsRoundingsAllow) {
  Random random(4);
  const Tensor<double> z = normal_tensor({4, 50}, random);
  const std::vector<Index> targets = {3, 20, 49, 3};
  const LossSettings settings = {.mtp_weights = {1, 0.5, 0.2}};
  const auto forward = softcap_loss(z, targets, settings);
  const auto accurate = softcap_loss(cast<Float128>(z), targets, settings);
  const auto terms = softcap_loss(cast<Magnitude>(z), targets, settings);
  // Six roundings of a capped logit, exp, the sum's 50, log, and the sum of 9 terms of three each.
  EXPECT_LE(worst_roundoffs(forward.logsumexp, accurate.logsumexp, terms.logsumexp),
            std::sqrt(60.0));
  EXPECT_LE(worst_roundoffs(Tensor<double>({1}, forward.loss), Tensor<Float128>({1}, accurate.loss),
                            Tensor<Magnitude>({1}, terms.loss)),
            std::sqrt(90.0));
  EXPECT_LE(worst_roundoffs(gradient(z, targets, settings),
                            gradient(cast<Float128>(z), targets, settings),
                            gradient(cast<Magnitude>(z), targets, settings)),
            std::sqrt(90.0));
}

TEST(SoftcapLoss, RefusesWhatDoesNotFit) {
  const Tensor<double> z({2, 4});
  const auto sentence = [&](const std::vector<Index>& targets,
                            const LossSettings& settings) -> std::string {
    return pairedhead::refusal([&] { softcap_loss(z, targets, settings); });
  };
  EXPECT_EQ(sentence({0, 3}, {}), "accepted");
  EXPECT_EQ(sentence({0}, {}), "targets: expected 2 tokens, got 1");
  EXPECT_EQ(sentence({0, 4}, {}), "targets: expected values from 0 to 3, got 4");
  EXPECT_EQ(sentence({-1, 3}, {}), "targets: expected values from 0 to 3, got -1");
  EXPECT_EQ(sentence({0, 1}, {.mtp_weights = {}}), "mtp_weights: expected 1 to 3 weights, got 0");
  EXPECT_EQ(sentence({0, 1}, {.mtp_weights = {1, 1, 1, 1}}),
            "mtp_weights: expected 1 to 3 weights, got 4");
}

}  // namespace
}  // namespace pairedhead::reference
