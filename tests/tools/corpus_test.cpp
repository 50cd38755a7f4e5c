#include "tools/verify/corpus.h"

#include <gtest/gtest.h>

#include "tests/tools/scratch_folder.h"

namespace pairedhead::testing {
namespace {

const CorpusCase saved{"attention_paired", {Parameters::parse("T=3 H=2 D=16 documents=1,2"), 77}};

TEST(Corpus, WhatIsSavedIsReadBack) {
  const ScratchFolder folder;
  const auto corpus = folder / "deep/corpus";
  const auto file = save_to_corpus(corpus, saved);
  EXPECT_EQ(text_of(file), "attention_paired 77 D=16 H=2 T=3 documents=1,2\n");
  const auto cases = read_corpus(corpus);
  ASSERT_EQ(cases.size(), 1u);
  EXPECT_EQ(cases[0].component, saved.component);
  EXPECT_EQ(cases[0].planned, saved.planned);
}

TEST(Corpus, TheSameCaseIsSavedOnce) {
  const ScratchFolder folder;
  save_to_corpus(folder.path(), saved);
  save_to_corpus(folder.path(), saved);
  EXPECT_EQ(folder.files(), 1u);
  CorpusCase other = saved;
  other.planned.seed = 78;
  save_to_corpus(folder.path(), other);
  EXPECT_EQ(folder.files(), 2u);
}

TEST(Corpus, NoFolderIsNoCases) { EXPECT_TRUE(read_corpus("/nonexistent/corpus").empty()); }

TEST(Corpus, ABadLineIsNamedWithItsFile) {
  for (const char* line :
       {"", "attention_paired\n", "attention_paired x T=1\n", "attention_paired 7 T\n",
        "attention_paired 7x T=1\n", "attention_paired -7 T=1\n"}) {
    const ScratchFolder folder;
    std::ofstream(folder / "bad.case") << line;
    try {
      read_corpus(folder.path());
      FAIL() << line;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("bad.case"), std::string::npos) << error.what();
    }
  }
}

TEST(Corpus, OtherFilesAreLeftAlone) {
  const ScratchFolder folder;
  std::ofstream(folder / "README.md") << "not a case\n";
  EXPECT_TRUE(read_corpus(folder.path()).empty());
}

TEST(Corpus, AFileInTheFoldersPlaceIsBadInput) {
  const ScratchFolder folder;
  std::ofstream(folder / "file") << "";
  EXPECT_THROW(read_corpus(folder / "file"), InputError);
  EXPECT_THROW(save_to_corpus(folder / "file", saved), InputError);
}

}  // namespace
}  // namespace pairedhead::testing
