#include "tools/report/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "tests/tools/fake_report.h"
#include "tests/tools/scratch_folder.h"
#include "tools/report/write_file.h"

namespace pairedhead::testing {
namespace {

TEST(Report, CountsAddUp) {
  const Report report = fake_report();
  EXPECT_EQ(report.cases(), 10 + 10 + 9);
  EXPECT_EQ(report.failed(), report.components[1].failed);
  EXPECT_GT(report.failed(), 0);
}

TEST(Report, JsonHasTheFieldsThatReadersRelyOn) {
  const Report report = fake_report();
  const auto json = nlohmann::json::parse(json_report(report));
  EXPECT_EQ(json.at("target"), "fake");
  EXPECT_EQ(json.at("seed"), 42);
  EXPECT_EQ(json.at("failed"), report.failed());
  ASSERT_EQ(json.at("components").size(), 4u);
  for (const auto& component : json.at("components")) {
    EXPECT_TRUE(component.at("name").is_string());
    EXPECT_TRUE(component.at("cases").is_number_integer());
    EXPECT_TRUE(component.at("failed").is_number_integer());
    for (const char* ratio : {"worst_rho_max", "worst_rho_row", "worst_rho_rms"}) {
      EXPECT_TRUE(component.at(ratio).is_number() || component.at(ratio).is_null()) << ratio;
    }
    EXPECT_TRUE(component.contains("skipped"));
  }
  const auto& passing = json["components"][0];
  EXPECT_EQ(passing["status"], "PASSED");
  EXPECT_EQ(passing["failed"], 0);
  EXPECT_DOUBLE_EQ(passing["worst_rho_max"].get<double>(), report.components[0].max.ratio);
  EXPECT_EQ(passing["limit_rho_max"], 8);
  EXPECT_TRUE(passing["skipped"].is_null());
  EXPECT_TRUE(passing["failure"].is_null());
  const auto& failing = json["components"][1];
  EXPECT_EQ(failing["status"], "FAILED");
  EXPECT_EQ(failing["failure"]["case"], "D=1 H=1 T=4 documents=4");
  EXPECT_NE(failing["failure"]["repro"].get<std::string>().find("--component failing --case"),
            std::string::npos);
  EXPECT_NE(failing["failure"]["first"].get<std::string>().find("grad of x[3, 0, 0]: got 1000"),
            std::string::npos);
  EXPECT_EQ(json["components"][2]["skipped"], "fused into <all> & \"more\"");
  EXPECT_EQ(json["components"][2]["status"], "SKIPPED");
  EXPECT_EQ(json["components"][3]["judgement"], "bitwise");
  EXPECT_TRUE(json["components"][3]["worst_rho_max"].is_null());
}

TEST(Report, JUnitParsesAndCounts) {
  const Report report = fake_report();
  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(junit_report(report).c_str()));
  const auto suite = document.child("testsuites").child("testsuite");
  EXPECT_EQ(suite.attribute("tests").as_int(), 4);
  EXPECT_EQ(suite.attribute("failures").as_int(), 1);
  EXPECT_EQ(suite.attribute("skipped").as_int(), 1);
  const auto failing = suite.find_child_by_attribute("testcase", "name", "failing");
  EXPECT_STREQ(failing.attribute("classname").value(), "pairedhead.fake");
  EXPECT_NE(std::string(failing.child("failure").text().get()).find("pairedhead verify"),
            std::string::npos);
  const auto skipped = suite.find_child_by_attribute("testcase", "name", "skipped");
  EXPECT_STREQ(skipped.child("skipped").attribute("message").value(),
               "fused into <all> & \"more\"");
  EXPECT_FALSE(suite.find_child_by_attribute("testcase", "name", "averaging").child("failure"));
}

TEST(Report, WordsOfATargetMayHoldAnyBytes) {
  Report report = fake_report();
  report.components[1].failure->smallest.verdict.reason = "bad \x01 \xff bytes";
  EXPECT_NO_THROW(nlohmann::json::parse(json_report(report)));
  pugi::xml_document document;
  EXPECT_TRUE(document.load_string(junit_report(report).c_str()));
  EXPECT_EQ(junit_report(report).find('\x01'), std::string::npos);
}

TEST(Report, ConsoleNamesEveryComponentAndTheRepeatLine) {
  const std::string text = console_report(fake_report(), false);
  EXPECT_NE(text.find("averaging"), std::string::npos);
  EXPECT_NE(text.find("PASSED"), std::string::npos);
  EXPECT_NE(text.find("SKIPPED (fused into"), std::string::npos);
  EXPECT_NE(text.find("smallest  D=1 H=1 T=4 documents=4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("repeat    pairedhead verify --target fake --component failing --case"),
            std::string::npos);
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_NE(console_report(fake_report(), true).find('\033'), std::string::npos);
}

TEST(Report, PathsAreCheckedBeforeTheRun) {
  EXPECT_NO_THROW(check_report_path("out.json"));
  EXPECT_NO_THROW(check_report_path("/tmp/out.xml"));
  for (const char* path : {"out.htm", "out", "out.txt", "/nonexistent/folder/out.json"}) {
    EXPECT_THROW(check_report_path(path), InputError) << path;
  }
}

TEST(Report, FilesAppearWholeOrNotAtAll) {
  const ScratchFolder folder;
  const auto path = folder / "out.json";
  write_file(path, "old");
  write_report(path, fake_report());
  EXPECT_EQ(nlohmann::json::parse(text_of(path)).at("seed"), 42);
  EXPECT_EQ(folder.files(), 1u);  // no temporary file is left

  // A folder in the file's place cannot be replaced: an error, and nothing left behind.
  std::filesystem::create_directories(folder / "taken.json/inside");
  EXPECT_THROW(write_file(folder / "taken.json", "new"), InputError);
  EXPECT_EQ(folder.files(), 2u);
  EXPECT_THROW(write_file(folder / "absent/out.json", "new"), InputError);
}

}  // namespace
}  // namespace pairedhead::testing
