#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "golden/golden_file.h"
#include "tests/tools/one_sentence.h"
#include "tests/tools/scratch_folder.h"
#include "tools/components/component.h"

namespace pairedhead {
namespace {

using testing::expect_sentence;
using testing::Ran;
using testing::run_program;
using testing::ScratchFolder;
namespace fs = std::filesystem;

const fs::path committed = fs::path(PAIREDHEAD_SOURCE_DIR) / "golden";

// A small golden that the program has just written, and its one case.
class WrittenGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    const Ran ran = run_program("golden write --component attention_paired --seed 7 --out " +
                                folder_.path().string() + " --case \"" + setting_ + "\"");
    ASSERT_EQ(ran.exit_code, 0) << ran.output;
    golden_ = read_golden(file_).at(0);
  }
  Ran check() const { return run_program("golden check " + folder_.path().string()); }

  const std::string setting_ =
      "D=16 H=6 T=5 documents=2,3 fill=normal pairing=strided softmax_scale=0.1 window=3";
  ScratchFolder folder_;
  const fs::path file_ = folder_ / "attention_paired.h5";
  GoldenCase golden_;
};

TEST_F(WrittenGolden, HoldsWhatTheSchemaAsksFor) {
  EXPECT_EQ(golden_.component, "attention_paired");
  EXPECT_EQ(golden_.origin, "reference");
  EXPECT_EQ(golden_.parameters, setting_);
  EXPECT_EQ(golden_.seed, 7u);
  for (const OutputRow& row : component_named("attention_paired").outputs) {
    ASSERT_EQ(golden_.values.count(row.key()), 1u) << row.key();
    EXPECT_EQ(golden_.dtypes.at(row.key()), row.dtype);
    EXPECT_EQ(golden_.scale.at(row.key()).shape(), golden_.values.at(row.key()).shape());
  }
}

TEST_F(WrittenGolden, ChecksAndIsListed) {
  const Ran checked = check();
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  EXPECT_NE(checked.output.find("1 of 1 cases agree, bit for bit"), std::string::npos)
      << checked.output;
  const Ran listed = run_program("golden list " + folder_.path().string());
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_NE(
      listed.output.find("reference_00 reference attention_paired \"" + setting_ + "\" seed 7"),
      std::string::npos)
      << listed.output;
}

TEST_F(WrittenGolden, IsWrittenTheSameTwice) {
  const std::string before = testing::text_of(file_);
  SetUp();
  EXPECT_EQ(testing::text_of(file_), before);
}

TEST_F(WrittenGolden, AChangedValueIsFound) {
  golden_.values.at("grads/v")[35] += 1e-9;
  write_golden(file_, {golden_});
  const Ran ran = check();
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_NE(ran.output.find("grads/v: 1 of 480 values disagree, the first at [0, 2, 3]"),
            std::string::npos)
      << ran.output;
}

TEST_F(WrittenGolden, AChangedInputIsFound) {
  golden_.inputs.at("q").set(0, 3);
  write_golden(file_, {golden_});
  const Ran ran = check();
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_NE(ran.output.find("inputs/q: expected the bits of seed 7, got others"), std::string::npos)
      << ran.output;
}

TEST_F(WrittenGolden, AnInputTooManyIsFound) {
  golden_.inputs["bias"] = golden_.inputs.at("q");
  write_golden(file_, {golden_});
  EXPECT_EQ(check().exit_code, 1);
}

TEST_F(WrittenGolden, AChangedScaleIsFound) {
  golden_.scale.at("outputs/y")[4] *= 1.001;
  write_golden(file_, {golden_});
  const Ran ran = check();
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_NE(ran.output.find("scale/outputs/y: at [0, 0, 4]"), std::string::npos) << ran.output;
}

TEST_F(WrittenGolden, AMissingGradientIsFound) {
  golden_.values.erase("grads/k");
  golden_.scale.erase("grads/k");
  write_golden(file_, {golden_});
  const Ran ran = check();
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_NE(ran.output.find("grads/k: expected it, got none"), std::string::npos) << ran.output;
}

TEST_F(WrittenGolden, AnUnknownComponentIsASentence) {
  golden_.component = "attention_trippled";
  write_golden(file_, {golden_});
  expect_sentence(check(), "got \"attention_trippled\"");
}

TEST_F(WrittenGolden, ATruncatedFileIsASentence) {
  fs::resize_file(file_, fs::file_size(file_) / 2);
  expect_sentence(check(), "attention_paired.h5");
}

TEST_F(WrittenGolden, ExportsItsInputsAlone) {
  const fs::path out = folder_ / "inputs.h5";
  const Ran ran = run_program("golden export-inputs " + file_.string() + " " + out.string());
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const auto batch = read_batch(out);
  ASSERT_EQ(batch.size(), 1u);
  EXPECT_EQ(batch[0].component, "attention_paired");
  EXPECT_EQ(batch[0].parameters, setting_);
  ASSERT_EQ(batch[0].arrays.size(), golden_.inputs.size());
  for (const auto& [name, array] : golden_.inputs) {
    const Array& exported = batch[0].arrays.at("inputs/" + name);
    EXPECT_EQ(exported.dtype, array.dtype) << name;
    EXPECT_EQ(exported.bytes, array.bytes) << name;
  }
}

TEST(GoldenCommand, WritesASizeThatIsAskedFor) {
  const ScratchFolder folder;
  const Ran ran =
      run_program("golden write --component rotary_plain --T 37 --out " + folder.path().string());
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const auto cases = read_golden(folder / "rotary_plain.h5");
  ASSERT_EQ(cases.size(), 1u);
  EXPECT_EQ(cases[0].inputs.at("x").shape.at(0), 37);
}

TEST(GoldenCommand, WritesAttentionAsTheRecordRunsIt) {
  const ScratchFolder folder;
  const Ran ran = run_program("golden write --component attention_paired --T 20 --out " +
                              folder.path().string());
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const auto parameters =
      Parameters::parse(read_golden(folder / "attention_paired.h5").at(0).parameters);
  EXPECT_EQ(parameters.integer("H"), 6);
  EXPECT_EQ(parameters.integer("D"), 128);
  EXPECT_EQ(parameters.integer("window"), 128);
  EXPECT_EQ(parameters.word("pairing"), "strided");
}

TEST(GoldenCommand, BadUsageIsASentence) {
  const ScratchFolder folder;
  const std::string out = " --out " + folder.path().string();
  expect_sentence(run_program("golden write --T 16" + out), "need a --component");
  expect_sentence(run_program("golden write --component key_shift --T 16"), "need --out DIR");
  expect_sentence(run_program("golden write --component yarn_update --T 16" + out),
                  "component yarn_update has no number of tokens");
  expect_sentence(run_program("golden write --component key_shift --case \"T=1\"" + out), "H");
  expect_sentence(run_program("golden write --component nothing" + out), "got \"nothing\"");
  expect_sentence(run_program("golden check " + folder.path().string()), "got none");
  expect_sentence(run_program("golden check /nowhere"), "/nowhere");
  expect_sentence(run_program("golden list /nowhere"), "/nowhere");
  expect_sentence(run_program("golden export-inputs /nowhere/x.h5 /tmp/out.h5"), "/nowhere/x.h5");
  EXPECT_EQ(run_program("golden").exit_code, 2);
  EXPECT_EQ(folder.files(), 0u);
}

TEST(GoldenCommand, MoreThanTheMemoryIsASentence) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer ends a program that asks for so much";
#endif
  const ScratchFolder folder;
  const std::string out = " --out " + folder.path().string();
  expect_sentence(run_program("golden write --component rms_norm --T 99999999999999" + out),
                  "expected memory for what was asked");
  EXPECT_EQ(folder.files(), 0u);
}

// The committed goldens: every component has its reference's, everything agrees, and they stay
// small enough to travel with the tree.
TEST(CommittedGoldens, AllAgree) {
  const Ran ran = run_program("golden check " + committed.string());
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  for (const Component& component : component_table()) {
    EXPECT_TRUE(fs::exists(committed / (component.name + ".h5"))) << component.name;
  }
}

TEST(CommittedGoldens, AreUnderEightMegabytes) {
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(committed)) {
    if (entry.path().extension() == ".h5") bytes += entry.file_size();
  }
  EXPECT_GT(bytes, 0u);
  EXPECT_LT(bytes, 8'000'000u);
}

}  // namespace
}  // namespace pairedhead
