#include "tools/components/parameters.h"

#include <gtest/gtest.h>

#include "tests/refusal.h"

namespace pairedhead {
namespace {

TEST(Parameters, TextIsAlphabeticalAndParsesBack) {
  const auto p = Parameters::parse("  T=48 D=16\tdocuments=3,1,44 fill=normal softmax_scale=0.1 ");
  EXPECT_EQ(p.text(), "D=16 T=48 documents=3,1,44 fill=normal softmax_scale=0.1");
  EXPECT_EQ(Parameters::parse(p.text()), p);
  EXPECT_EQ(p.integer("T"), 48);
  EXPECT_EQ(p.integers("documents"), (std::vector<Index>{3, 1, 44}));
  EXPECT_EQ(p.integers("T"), (std::vector<Index>{48}));
  EXPECT_EQ(p.real("softmax_scale"), 0.1);
  EXPECT_EQ(p.word("fill"), "normal");
  EXPECT_FALSE(p.has("H"));
  EXPECT_EQ(Parameters::parse("").text(), "");
}

TEST(Parameters, SetReplaces) {
  Parameters p = Parameters::parse("T=1");
  p.set("T", 7).set("documents", std::vector<Index>{3, 4}).set("fill", std::string("tiny"));
  EXPECT_EQ(p.text(), "T=7 documents=3,4 fill=tiny");
}

TEST(Parameters, WhatIsNoAssignmentIsNamed) {
  EXPECT_EQ(refusal([] { Parameters::parse("T=1 D"); }), "case: expected NAME=VALUE, got \"D\"");
  EXPECT_NE(refusal([] { Parameters::parse("=1"); }), "accepted");
  EXPECT_NE(refusal([] { Parameters::parse("T="); }), "accepted");
  EXPECT_NE(refusal([] { Parameters::parse("T-2=4"); }), "accepted");
  EXPECT_EQ(refusal([] { Parameters::parse("T=1 T=2"); }),
            "case: expected each parameter once, got T twice");
}

TEST(Parameters, WhatIsNoNumberIsNamed) {
  const auto p = Parameters::parse(
      "a=1.5 b=x c=1,,2 d=99999999999999999999 e=1, f=0x10 g=nan h=1e999 i=-3 j=+3");
  EXPECT_EQ(refusal([&] { p.integer("a"); }), "parameter a: expected an integer, got \"1.5\"");
  for (const char* name : {"b", "d", "f", "j"}) {
    EXPECT_NE(refusal([&] { p.integer(name); }), "accepted") << name;
  }
  for (const char* name : {"b", "c", "e"}) {
    EXPECT_NE(refusal([&] { p.integers(name); }), "accepted") << name;
  }
  for (const char* name : {"b", "g", "h"}) {
    EXPECT_NE(refusal([&] { p.real(name); }), "accepted") << name;
  }
  EXPECT_EQ(p.integer("i"), -3);
}

TEST(Parameters, WhatIsAbsentIsNamed) {
  const auto p = Parameters::parse("T=1");
  EXPECT_EQ(refusal([&] { p.integer("D"); }), "case: expected a parameter D, got \"T=1\"");
}

}  // namespace
}  // namespace pairedhead
