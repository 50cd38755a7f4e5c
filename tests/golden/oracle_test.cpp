#include <cmath>

#include "tests/golden/golden_support.h"
#include "tools/components/component.h"

// The reference against a third formulation of SPEC, tools/oracle/oracle.py: dense masked softmax
// and autograd in PyTorch float64. Tolerance: 1e-12 of an element's sum of |terms|; bitwise rows
// are equal.

namespace pairedhead {
namespace {

using testing::golden_folder;

class Oracle : public ::testing::TestWithParam<std::string> {};

TEST_P(Oracle, AgreesWithTheReference) {
  testing::expect_agreement(golden_folder() / "oracle" / (GetParam() + ".h5"), "oracle");
}

std::vector<std::string> component_names() {
  std::vector<std::string> names;
  for (const Component& component : component_table()) names.push_back(component.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Components, Oracle, ::testing::ValuesIn(component_names()),
                         [](const auto& info) { return info.param; });

// What the agreement is worth: each of these is a mistake in the answer or in the question.
class OracleDisagreement : public ::testing::Test {
 protected:
  OracleDisagreement() {
    for (const GoldenCase& golden :
         read_golden(golden_folder() / "oracle" / "attention_paired.h5")) {
      if (golden.parameters.find("T=17 ") != std::string::npos &&
          golden.parameters.find("pairing=strided") != std::string::npos) {
        golden_ = golden;
      }
    }
  }
  void SetUp() override {
    ASSERT_EQ(golden_.component, "attention_paired");
    ASSERT_TRUE(check_golden(golden_).holds());
  }
  GoldenCase golden_;
};

TEST_F(OracleDisagreement, OneValueOffByABillionthOfIt) {
  Tensor<double>& grad = golden_.values.at("grads/k");
  // The largest: its sum of |terms| is the fewest times itself.
  Index largest = 0;
  for (Index i = 0; i < grad.size(); ++i) {
    if (std::abs(grad[i]) > std::abs(grad[largest])) largest = i;
  }
  grad[largest] *= 1 + 1e-9;
  const GoldenVerdict verdict = check_golden(golden_);
  ASSERT_EQ(verdict.complaints.size(), 1u);
  EXPECT_NE(verdict.complaints[0].find("grads/k: 1 of 1632 values disagree"), std::string::npos)
      << verdict.complaints[0];
}

TEST_F(OracleDisagreement, NotANumber) {
  golden_.values.at("outputs/y")[7] = NAN;
  EXPECT_FALSE(check_golden(golden_).holds());
}

TEST_F(OracleDisagreement, AnotherWindow) {
  golden_.inputs.at("window").set(0, 4);
  EXPECT_EQ(check_golden(golden_).complaints.size(), 5u);
}

TEST_F(OracleDisagreement, AnotherPairing) {
  golden_.parameters = Parameters::parse(golden_.parameters).set("pairing", "adjacent").text();
  EXPECT_EQ(check_golden(golden_).complaints.size(), 5u);
}

TEST_F(OracleDisagreement, AnotherShape) {
  golden_.values.at("outputs/logsumexp") = Tensor<double>({17, 3}, 1.0);
  const GoldenVerdict verdict = check_golden(golden_);
  ASSERT_EQ(verdict.complaints.size(), 1u);
  EXPECT_EQ(verdict.complaints[0], "outputs/logsumexp: expected shape [17, 6], got [17, 3]");
}

TEST_F(OracleDisagreement, AnInputIsMissing) {
  golden_.inputs.erase("cu_seqlens");
  EXPECT_EQ(check_golden(golden_).complaints,
            std::vector<std::string>{"lacks an input that component attention_paired needs"});
}

TEST_F(OracleDisagreement, AnotherSpec) {
  golden_.spec_version = "2025-01-01.1";
  ASSERT_EQ(check_golden(golden_).complaints.size(), 1u);
  EXPECT_NE(check_golden(golden_).complaints[0].find("was made for SPEC 2025-01-01.1"),
            std::string::npos);
}

}  // namespace
}  // namespace pairedhead
