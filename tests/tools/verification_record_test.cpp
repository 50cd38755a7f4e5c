#include "tools/record/verification_record.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "tools/record/fingerprint.h"
#include "tools/record/recorder.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

fs::path scratch(const std::string& name) {
  const fs::path folder = fs::temp_directory_path() / "pairedhead-record-test";
  fs::create_directories(folder);
  return folder / name;
}

// A record of the emulated target, which is as deterministic as the kernels are.
VerificationRecord recorded_run(Target& target) {
  VerificationRecord record;
  record.device = "emulated";
  record.seed = 7;
  record.fingerprint = {{"gpu/a.cu", "00ff"}};
  record.checks = {{"mask census", true, "all right"}};
  for (const char* text :
       {"T=3 H=2 D=16 documents=3 window=2", "T=9 H=4 D=16 documents=4,5 window=5"}) {
    const Parameters parameters =
        Parameters::parse(std::string(text) + " softmax_scale=0.1 fill=normal pairing=strided");
    const Component& component = component_named("attention_paired");
    const Arrays inputs = component.inputs(parameters, 7);
    Arrays outputs = poisoned_outputs(component, parameters, 7);
    target.run(component, parameters, inputs, outputs);
    record.cases.push_back({component.name, parameters.text(), 7, 1.25, hash_of_outputs(outputs)});
  }
  return record;
}

TEST(VerificationRecord, ReadsBackWhatItWrote) {
  const auto target = make_target("emulated");
  const VerificationRecord record = recorded_run(*target);
  write_record(scratch("record.json"), record);
  const VerificationRecord read = read_record(scratch("record.json"));
  EXPECT_EQ(read.cases, record.cases);
  EXPECT_EQ(read.fingerprint, record.fingerprint);
  EXPECT_EQ(read.checks.at(0).finding, "all right");
  EXPECT_EQ(read.device, "emulated");
}

TEST(VerificationRecord, ReplayReproducesAndNoticesOtherBits) {
  const auto target = make_target("emulated");
  VerificationRecord record = recorded_run(*target);
  EXPECT_TRUE(replay(record, *target).empty());
  record.cases[1].outputs[0] = record.cases[1].outputs[0] == '0' ? '1' : '0';
  ASSERT_EQ(replay(record, *target).size(), 1u);
  EXPECT_EQ(replay(record, *target)[0].parameters, record.cases[1].parameters);
}

TEST(VerificationRecord, RefusesWhatIsNone) {
  std::ofstream(scratch("empty.json")) << "{\"device\": 3}";
  EXPECT_THROW(read_record(scratch("empty.json")), InputError);
  EXPECT_THROW(read_record(scratch("absent.json")), InputError);
}

TEST(VerificationRecord, StaleFilesAreNamed) {
  const auto stale =
      stale_files({{"a", "1"}, {"b", "2"}, {"c", "3"}}, {{"a", "1"}, {"b", "9"}, {"d", "4"}});
  EXPECT_EQ(stale, (std::vector<std::string>{"b (changed)", "c (removed)", "d (added)"}));
}

TEST(VerificationRecord, DeviceNamesBecomeFileNames) {
  EXPECT_EQ(file_name_of_device("NVIDIA H100 80GB HBM3"), "nvidia-h100-80gb-hbm3");
}

// Prints whether each committed record still speaks of these sources. A stale record is no failure:
// only a GPU can make a new one.
TEST(VerificationRecord, CurrentOrStale) {
  const fs::path folder = fs::path(PAIREDHEAD_SOURCE_DIR) / "golden" / "verified";
  if (!fs::exists(folder)) GTEST_SKIP() << "golden/verified: no record has been committed";
  const auto current = source_fingerprint(PAIREDHEAD_SOURCE_DIR);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const VerificationRecord record = read_record(entry.path());
    EXPECT_FALSE(record.cases.empty()) << entry.path();
    for (const RecordedCheck& check : record.checks) EXPECT_TRUE(check.passed) << check.name;
    const auto stale = stale_files(record.fingerprint, current);
    std::cout << record.device << " (" << record.date
              << "): " << (stale.empty() ? "CURRENT" : "STALE") << '\n';
    for (const std::string& file : stale) std::cout << "  " << file << '\n';
  }
}

}  // namespace
}  // namespace pairedhead
