#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "tests/tools/one_sentence.h"
#include "tests/tools/scratch_folder.h"

namespace pairedhead::testing {
namespace {

TEST(VerifyCommand, TheEmulatedTargetHolds) {
  const ScratchFolder folder;
  const Ran ran =
      run_program("verify --target emulated --cases 3 --report " + (folder / "out.json").string() +
                  " --report " + (folder / "out.xml").string());
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("all hold"), std::string::npos) << ran.output;
  EXPECT_EQ(ran.output.find('\033'), std::string::npos);  // no terminal, no colours, no progress
  const auto json = nlohmann::json::parse(text_of(folder / "out.json"));
  EXPECT_EQ(json.at("target"), "emulated");
  EXPECT_EQ(json.at("failed"), 0);
  EXPECT_GE(json.at("components").size(), 11u);
  pugi::xml_document document;
  EXPECT_TRUE(document.load_file((folder / "out.xml").c_str()));
  EXPECT_EQ(folder.files(), 2u);
}

TEST(VerifyCommand, TheSameSeedGivesTheSameReportOnOneThreadAndOnMany) {
  const ScratchFolder folder;
  std::vector<nlohmann::json> reports;
  for (const char* threads : {"1", "3"}) {
    const auto path = folder / (std::string("out") + threads + ".json");
    const Ran ran =
        run_program("verify --component attention_paired --cases 4 --seed 11 --threads " +
                    std::string(threads) + " --report " + path.string());
    ASSERT_EQ(ran.exit_code, 0) << ran.output;
    auto json = nlohmann::json::parse(text_of(path));
    json.erase("seconds");
    for (auto& component : json["components"]) component.erase("seconds");
    reports.push_back(json);
  }
  EXPECT_EQ(reports[0], reports[1]);
}

TEST(VerifyCommand, OneCaseIsRunAsNamed) {
  const ScratchFolder folder;
  const Ran ran = run_program(
      "verify --component attention_paired --case 'T=3 H=2 D=16 documents=3 window=2 "
      "softmax_scale=0.1 fill=normal pairing=strided' --seed 5 --report " +
      (folder / "out.json").string());
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  const auto json = nlohmann::json::parse(text_of(folder / "out.json"));
  EXPECT_EQ(json["components"][0]["cases"], 1);
  EXPECT_EQ(json["components"][0]["worst_case"]["seed"], 5);
}

TEST(VerifyCommand, ShardsSplitTheCases) {
  const ScratchFolder folder;
  int total = 0;
  for (const char* shard : {"1/2", "2/2"}) {
    const auto path = folder / "out.json";
    const Ran ran = run_program("verify --component rotary_paired --cases 9 --shard " +
                                std::string(shard) + " --report " + path.string());
    ASSERT_EQ(ran.exit_code, 0) << ran.output;
    total += nlohmann::json::parse(text_of(path)).at("cases").get<int>();
  }
  const Ran whole = run_program("verify --component rotary_paired --cases 9 --report " +
                                (folder / "out.json").string());
  EXPECT_EQ(total, nlohmann::json::parse(text_of(folder / "out.json")).at("cases").get<int>());
}

TEST(VerifyCommand, BadUsageIsOneSentence) {
  expect_bad_input("verify --component no_such", "no_such");
  expect_bad_input("verify --target no_such", "no_such");
  expect_bad_input("verify --report out.txt", ".json, .xml or .html");
  expect_bad_input("verify --report /nonexistent/out.json", "/nonexistent");
  expect_bad_input("verify --shard 3/2", "--shard");
  expect_bad_input("verify --cases -1", "--cases");
  expect_bad_input("verify --cases many", "--cases");
  expect_bad_input("verify --threads -1", "--threads: expected a whole number from 0 to ");
  for (const char* seed : {"-1", "18446744073709551616", "1.5", "''"}) {
    expect_bad_input(std::string("verify --seed ") + seed,
                     "--seed: expected a whole number from 0");
  }
  expect_bad_input("verify --calibration /nonexistent/x.json",
                   "--calibration /nonexistent/x.json: ");
  expect_bad_input("mutants --json /nonexistent/x.json",
                   "--json /nonexistent/x.json: expected a folder");
  expect_bad_input("bench --json /nonexistent/x.json",
                   "--json /nonexistent/x.json: expected a folder");
  expect_bad_input("verify --no-such-option", "no-such-option");
  expect_bad_input("verify --case 'T=1'", "exactly one --component");
  expect_bad_input("verify --component qk_norm --case 'T=1 H'", "NAME=VALUE");
  expect_bad_input("verify --component qk_norm --case 'T=0 H=2 D=16 fill=normal'", "T");
  expect_bad_input("verify --component qk_norm --case 'T=1 H=2 D=16 fill=normal' --cases 3",
                   "--cases");
  expect_bad_input("no_such", "");
  expect_bad_input("", "subcommand");
}

TEST(VerifyCommand, BadShapesOfAttentionAreOneSentence) {
  const std::string good =
      "T=4 H=2 D=16 documents=4 window=2 softmax_scale=0.1 fill=normal "
      "pairing=strided";
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return "verify --component attention_paired --case '" + text + "'";
  };
  expect_bad_input(with("H=2", "H=3"), "H");
  expect_bad_input(with("D=16", "D=20"), "D");
  expect_bad_input(with("T=4", "T=5"), "documents");
  expect_bad_input(with("documents=4", "documents=6,-2"), "documents");
  expect_bad_input(with("window=2", "window=0"), "window");
  expect_bad_input(with("window=2", "window=two"), "window");
  expect_bad_input(with("pairing=strided", "pairing=diagonal"), "pairing");
}

TEST(VerifyCommand, WithoutAGpuTheGpuTargetIsExitCodeThree) {
  const Ran info = run_program("info");
  ASSERT_EQ(info.exit_code, 0) << info.output;
  if (info.output.find("multiprocessors") != std::string::npos) {
    GTEST_SKIP() << "this machine has a GPU";
  }
  expect_sentence(run_program("verify --target gpu --cases 1"), "--target gpu: ", 3);
}

TEST(VerifyCommand, ACorpusWithABadLineIsNamed) {
  const ScratchFolder folder;
  std::ofstream(folder / "bad.case") << "qk_norm x\n";
  expect_bad_input("verify --component qk_norm --cases 1 --corpus " + folder.path().string(),
                   "bad.case");
}

TEST(FuzzCommand, RunsForTheTimeItIsGiven) {
  const ScratchFolder folder;
  const Ran ran = run_program(
      "fuzz --minutes 0.02 --component rotary_plain --component interleave "
      "--seed 3 --corpus " +
      (folder / "corpus").string());
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("seed 3: all hold"), std::string::npos) << ran.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "corpus"));
  expect_bad_input("fuzz", "--minutes");
  expect_bad_input("fuzz --minutes 0", "--minutes");
  expect_bad_input("fuzz --minutes 1 --component no_such", "no_such");
}

TEST(InfoCommand, NamesVersionsAndFingerprints) {
  const Ran ran = run_program("info");
  EXPECT_EQ(ran.exit_code, 0);
  for (const char* label :
       {"program", "spec", "compiler", "hdf5", "eigen", "executable", "sources", "device"}) {
    EXPECT_NE(ran.output.find(label), std::string::npos) << label;
  }
}

}  // namespace
}  // namespace pairedhead::testing
