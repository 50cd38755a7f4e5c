#include "tools/record/fingerprint.h"

#include <gtest/gtest.h>

#include "reference/error.h"

namespace pairedhead {
namespace {

TEST(Fingerprint, CommentsAndWhiteSpaceDoNotCount) {
  const std::string plain = "int f(int a) { return a + 1; }";
  EXPECT_EQ(
      stripped_source(plain),
      stripped_source("// says what\nint  f( int a )\n{\n  return a /* one more */ + 1;\n}\n"));
}

TEST(Fingerprint, MeaningCounts) {
  EXPECT_NE(stripped_source("a + 1"), stripped_source("a + 2"));
  EXPECT_NE(stripped_source("return x;"), stripped_source("returnx;"));
  EXPECT_NE(stripped_source("\"a b\""), stripped_source("\"ab\""));
}

TEST(Fingerprint, WhatLooksLikeACommentInAStringIsNone) {
  EXPECT_EQ(stripped_source("f(\"http://x\"); // y"), "f(\"http://x\");");
  EXPECT_EQ(stripped_source("f(\"\\\"//\");"), "f(\"\\\"//\");");
}

TEST(Fingerprint, CoversKernelsReferenceAndGoldens) {
  const auto fingerprint = source_fingerprint(PAIREDHEAD_SOURCE_DIR);
  EXPECT_EQ(fingerprint.count("gpu/kernels/attention.h"), 1u);
  EXPECT_EQ(fingerprint.count("reference/attention.cpp"), 1u);
  EXPECT_EQ(fingerprint.count("golden/attention_paired.h5"), 1u);
  EXPECT_EQ(fingerprint.count("golden/golden_file.cpp"), 0u);
}

TEST(Fingerprint, OutsideOfTheProjectIsRefused) {
  EXPECT_THROW(source_fingerprint("/proc/self"), InputError);
}

}  // namespace
}  // namespace pairedhead
