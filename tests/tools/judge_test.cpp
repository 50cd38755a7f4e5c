#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "tools/verdict/verdict.h"

namespace pairedhead {
namespace {

const OutputRow row{"y", false, DType::fp64};

struct Given {
  Tensor<double> exact, scale;
  Array got;
};

// Everything right, sigma 1.
Given right(const Shape& shape) {
  Given given{Tensor<double>(shape), Tensor<double>(shape, 1), Array(DType::fp64, shape)};
  for (Index i = 0; i < given.exact.size(); ++i) {
    given.exact[i] = static_cast<double>(i);
    given.got.set(i, static_cast<double>(i));
  }
  return given;
}

TensorVerdict judged(const Given& given) {
  return judge_ratio(row, given.got, given.exact, given.scale,
                     all_independent(given.exact.shape()));
}

TEST(Judge, RatiosAreWhatTheyAreCalled) {
  Given given = right({2, 3, 4});
  given.got.set(5, 5 + 3);
  given.got.set(6, 6 - 1);
  given.scale[6] = 0.5;
  const TensorVerdict verdict = judged(given);
  EXPECT_DOUBLE_EQ(verdict.ratios.max, 3);
  EXPECT_DOUBLE_EQ(verdict.ratios.row, std::sqrt((9.0 + 4.0) / 4));
  EXPECT_DOUBLE_EQ(verdict.ratios.rms, std::sqrt((9.0 + 4.0) / 24));
  EXPECT_EQ(verdict.status, Status::passed);
  EXPECT_EQ(verdict.worst->indices, (std::vector<Index>{0, 1, 1}));
}

TEST(Judge, LimitsHoldAtTheLimitAndNotBeyond) {
  Given given = right({1, 64});
  given.got.set(9, 9 + 8);
  EXPECT_EQ(judged(given).status, Status::passed);
  given.got.set(9, std::nextafter(17.0, 18.0));
  EXPECT_EQ(judged(given).status, Status::failed);
}

// Every error 1.5 sigma: too many in a row of 512, not in one of 64. Of both the tensor has enough.
TEST(Judge, ManyErrorsAreHeldTighterThanFew) {
  for (const auto& [shape, row_holds, tensor_holds] :
       {std::tuple(Shape{1, 64}, true, true), std::tuple(Shape{1, 512}, false, false),
        std::tuple(Shape{8, 64}, true, false)}) {
    Given given = right(shape);
    for (Index i = 0; i < given.got.size(); ++i) given.got.set(i, given.exact[i] + 1.5);
    const TensorVerdict verdict = judged(given);
    EXPECT_EQ(verdict.ratios.row <= verdict.limits.row, row_holds) << to_string(shape);
    EXPECT_EQ(verdict.ratios.rms <= verdict.limits.rms, tensor_holds) << to_string(shape);
    EXPECT_EQ(verdict.status, row_holds && tensor_holds ? Status::passed : Status::failed);
  }
}

TEST(Judge, ASingleElementIsHeldToRhoMax) {
  for (const Shape& shape : {Shape{1}, Shape{}, Shape{1, 1}}) {
    Given given = right(shape);
    given.got.set(0, 8);
    EXPECT_EQ(judged(given).status, Status::passed);
    given.got.set(0, std::nextafter(8.0, 9.0));
    EXPECT_EQ(judged(given).status, Status::failed);
  }
}

// A thousand errors that are one, and rows that are one error each.
TEST(Judge, EqualErrorsAreHeldAsOne) {
  Given given = right({8, 128});
  for (Index i = 0; i < given.got.size(); ++i) given.got.set(i, given.exact[i] + 3);
  EXPECT_EQ(judged(given).status, Status::failed);
  Independence one{1, std::vector<double>(8, 1)};
  EXPECT_EQ(judge_ratio(row, given.got, given.exact, given.scale, one).status, Status::passed);
  one.rows[5] = 128;
  const TensorVerdict verdict = judge_ratio(row, given.got, given.exact, given.scale, one);
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_EQ(verdict.first->indices[0], 5);
  EXPECT_EQ(verdict.limits.row, rms_limit(128));
}

TEST(Judge, WhereSigmaIsZeroTheValueMustBeEqual) {
  Given given = right({4});
  given.scale[2] = 0;
  EXPECT_EQ(judged(given).status, Status::passed);
  given.got.set(2, std::nextafter(2.0, 3.0));
  const TensorVerdict verdict = judged(given);
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_TRUE(std::isinf(verdict.ratios.max));
}

TEST(Judge, AScaleThatIsNoNumberFails) {
  Given given = right({4});
  given.got.set(1, 1.5);
  given.scale[1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(judged(given).status, Status::failed);
}

TEST(Judge, FirstIsTheFirstInMemoryAndWorstTheWorst) {
  Given given = right({3, 5});
  given.got.set(4, 4 + 9);
  given.got.set(11, 11 + 90);
  const TensorVerdict verdict = judged(given);
  EXPECT_EQ(verdict.first->indices, (std::vector<Index>{0, 4}));
  EXPECT_EQ(verdict.worst->indices, (std::vector<Index>{2, 1}));
  EXPECT_EQ(verdict.wrong_elements, 2);
  EXPECT_EQ(verdict.first->got, 13);
  EXPECT_EQ(verdict.first->wanted, 4);
}

TEST(Judge, AnotherDtypeOrShapeIsBadInput) {
  Given given = right({4});
  const auto expect_refused = [&](const OutputRow& as, const Tensor<double>& exact,
                                  const Tensor<double>& scale) {
    EXPECT_THROW(judge_ratio(as, given.got, exact, scale, all_independent({4})), InputError);
  };
  expect_refused({"y", false, DType::bf16}, given.exact, given.scale);
  expect_refused(row, Tensor<double>({5}), Tensor<double>({5}));
  expect_refused(row, given.exact, Tensor<double>({5}));
}

TEST(Judge, BitsTellMinusZeroFromZero) {
  Tensor<double> exact({2});
  Array got(DType::bf16, {2});
  EXPECT_EQ(judge_bitwise({"y", false, DType::bf16}, got, exact).status, Status::passed);
  got.set(1, -0.0);
  const TensorVerdict verdict = judge_bitwise({"y", false, DType::bf16}, got, exact);
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_EQ(verdict.first->got_bits, "0x8000");
  EXPECT_EQ(verdict.first->wanted_bits, "0x0000");
}

TEST(Judge, ANanIsWantedOnlyWhereTheRowSaysSo) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  Tensor<double> exact({3});
  exact[0] = nan;
  exact[1] = infinity;
  OutputRow row{.name = "y", .is_gradient = false, .dtype = DType::fp32};
  Array got(DType::fp32, {3});
  got.as<std::uint32_t>()[0] = 0xffc00001;  // any NaN for a NaN
  got.set(1, infinity);
  EXPECT_EQ(judge_bitwise(row, got, exact).status, Status::failed);  // the reference is not finite
  row.may_be_nan = true;
  EXPECT_EQ(judge_bitwise(row, got, exact).status, Status::passed);

  got.set(2, nan);
  const TensorVerdict verdict = judge_bitwise(row, got, exact);
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_EQ(verdict.wrong_elements, 1);
  EXPECT_EQ(verdict.first->indices, std::vector<Index>{2});
  got.set(2, 0);
  got.set(0, infinity);
  EXPECT_EQ(judge_bitwise(row, got, exact).status, Status::failed);
  got.set(0, nan);
  got.set(1, -infinity);
  EXPECT_EQ(judge_bitwise(row, got, exact).status, Status::failed);
}

TEST(Judge, ACaseIsAsBadAsItsWorstOutput) {
  Verdict verdict;
  TensorVerdict fine, distrusted, wrong;
  fine.key = "outputs/a";
  distrusted.key = "outputs/b";
  distrusted.status = Status::untrusted;
  distrusted.reason = "constant";
  wrong.key = "outputs/c";
  wrong.status = Status::failed;
  wrong.reason = "rho_max";
  add_tensor(verdict, fine);
  EXPECT_TRUE(verdict.holds());
  EXPECT_EQ(verdict.first_divergent(), nullptr);
  add_tensor(verdict, distrusted);
  EXPECT_EQ(verdict.status, Status::untrusted);
  EXPECT_FALSE(verdict.holds());
  add_tensor(verdict, wrong);
  EXPECT_EQ(verdict.status, Status::failed);
  EXPECT_EQ(verdict.reason, "outputs/c: rho_max");
  EXPECT_EQ(verdict.first_divergent()->key, "outputs/b");
}

TEST(Judge, DescribesAnElementWithItsRoundingModel) {
  TensorVerdict tensor;
  tensor.key = "grads/q";
  tensor.dtype = DType::bf16;
  const Element element{{3, 0, 17}, 0.5, 0.25, 0.001, "", ""};
  EXPECT_EQ(describe(tensor, element),
            "grad of q[3, 0, 17]: got 0.5, wanted 0.25, sigma 0.001 (bf16, u = 2^-8, 32 draws), "
            "250 sigma off");
}

}  // namespace
}  // namespace pairedhead
