#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/tools/one_sentence.h"
#include "tests/tools/small_disk.h"

// Whatever is written, a full disk is one sentence and exit code 2, the last good file stays, and
// nothing half-written does.

namespace pairedhead::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!SmallDisk(64).possible()) GTEST_SKIP() << "this machine lets us mount no small disk";
  }
};

// What is to stand in the script's output where `file` was refused and is still `before`.
auto refused(const std::string& file) {
  return AllOf(StartsWith("pairedhead: " + file + ": "),
               HasSubstr("No space left on device\nexit 2\n"), HasSubstr("the last good one\n"));
}

// Keeps `file`, fills the disk but for so many KiB, runs a command that would replace the file.
std::string replacing(const std::string& file, int kib_left, const std::string& command) {
  return "cp " + file + " $outside/before || exit 124\n" +
         "ls -A > $outside/names; mkdir filler\n"
         "head -c $(( $(df --output=avail -k . | tail -1) * 1024 - " +
         std::to_string(kib_left * 1024) + " )) /dev/zero > filler/filler || exit 124\n" + command +
         "\necho exit $?\n"
         "cmp " +
         file +
         " $outside/before && echo the last good one\n"
         "rm -r filler; ls -A | diff - $outside/names || echo left behind";
}

TEST_F(FullDisk, ACheckpoint) {
  const std::string train = "$pairedhead train --config tiny --data synthetic --out . ";
  const Ran ran = SmallDisk(60 << 10).run(
      train + "--steps 1 > /dev/null && " +
      replacing("checkpoint.h5", 4 << 10, train + "--resume --steps 2 > $outside/console") +
      "\ncat $outside/console; " + train + "--resume --steps 2 > /dev/null; echo exit $?");
  EXPECT_THAT(ran.output, refused("./checkpoint.h5"));
  EXPECT_THAT(ran.output, AllOf(HasSubstr("step    1  loss "), ::testing::EndsWith("exit 0\n")));
  EXPECT_THAT(ran.output, ::testing::Not(HasSubstr("left behind")));
}

TEST_F(FullDisk, ALog) {
  const std::string train = "$pairedhead train --config tiny --data synthetic --out . ";
  const Ran ran = SmallDisk(60 << 10).run(
      train + "--steps 1 > /dev/null && " +
      replacing("checkpoint.h5", 0, train + "--resume --steps 2 > /dev/null"));
  EXPECT_THAT(ran.output, refused("./log.jsonl"));
}

TEST_F(FullDisk, AReport) {
  for (const char* report : {"report.html", "report.json", "report.xml"}) {
    const std::string verify =
        std::string("$pairedhead verify --component rms_norm --cases 3 --report ") + report;
    const Ran ran = SmallDisk(1024).run(verify + " > /dev/null && " +
                                        replacing(report, 0, verify + " > /dev/null"));
    EXPECT_THAT(ran.output, refused(report));
    EXPECT_THAT(ran.output, ::testing::Not(HasSubstr("left behind")));
  }
}

TEST_F(FullDisk, AGolden) {
  const std::string write = "$pairedhead golden write --component rms_norm --out .";
  for (const int kib_left : {0, 4, 12}) {
    const Ran ran = SmallDisk(1024).run(write + " > /dev/null && " +
                                        replacing("rms_norm.h5", kib_left, write + " > /dev/null"));
    EXPECT_THAT(ran.output, refused("./rms_norm.h5")) << kib_left;
    EXPECT_THAT(ran.output, ::testing::Not(HasSubstr("left behind")));
  }
}

// Needs no disk of its own.
TEST(FullConsole, IsOneSentence) {
  for (const char* arguments : {"verify --component rms_norm --cases 3", "info", "golden list",
                                "train --config tiny --data synthetic --steps 1 --out out"}) {
    const ScratchFolder folder;
    const Ran ran = run_shell("cd '" + folder.path().string() +
                              "'; ln -s '" PAIREDHEAD_SOURCE_DIR "/golden' golden; " + program() +
                              " " + arguments + " > /dev/full");
    SCOPED_TRACE(arguments);
    expect_sentence(ran, "standard output: ");
    EXPECT_THAT(ran.output, HasSubstr("No space left on device"));
  }
}

}  // namespace
}  // namespace pairedhead::testing
