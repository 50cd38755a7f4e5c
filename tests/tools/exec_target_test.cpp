#include "tools/targets/exec_target.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "tests/tools/one_sentence.h"
#include "tests/tools/python.h"
#include "tests/tools/scratch_folder.h"
#include "tools/verdict/poison.h"
#include "tools/verify/run_case.h"

namespace pairedhead {
namespace {

using testing::python;
using testing::Ran;
using testing::run_program;
using testing::ScratchFolder;

std::string example(const std::string& script) {
  return *python() + " -B " + PAIREDHEAD_SOURCE_DIR + "/tools/exec_example/" + script;
}

Ran verify(const std::string& command, const std::string& options, const std::string& prefix = "") {
  const std::string program = "verify --target \"exec:" + command + "\" " + options;
  if (prefix.empty()) return run_program(program);
  setenv("PAIREDHEAD_EXEC_TIMEOUT", prefix.c_str(), 1);
  Ran ran = run_program(program);
  unsetenv("PAIREDHEAD_EXEC_TIMEOUT");
  return ran;
}

const std::string one_component = "--component attention_paired --cases 1";

void expect_gone(const Ran& ran, const std::string& what) {
  testing::expect_sentence(ran, what);
  EXPECT_NE(ran.output.find("component attention_paired with D=16 H=6 T=1"), std::string::npos)
      << ran.output;
}

TEST(ExecExample, ACorrectProgramPasses) {
  SKIP_WITHOUT_PYTHON();
  const Ran ran = verify(example("paired_attention.py"), "--component attention_paired --cases 20");
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("all hold"), std::string::npos) << ran.output;
}

TEST(ExecExample, AWrongOneIsShrunkToTheSmallestShapeWhereItIsWrong) {
  SKIP_WITHOUT_PYTHON();
  const Ran ran =
      verify(example("wrong_paired_attention.py"), "--component attention_paired --cases 20");
  EXPECT_EQ(ran.exit_code, 1) << ran.output;
  EXPECT_NE(ran.output.find("smallest  D=16 H=4 T=1 documents=1 fill=normal pairing=strided "
                            "softmax_scale=0.1 window=1\n"),
            std::string::npos)
      << ran.output;
}

TEST(ExecExample, AComponentWithoutAKernelIsSkipped) {
  SKIP_WITHOUT_PYTHON();
  const Ran ran = verify(example("paired_attention.py"),
                         "--component rotary_plain --component attention_paired --cases 0");
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("SKIPPED (no kernel for rotary_plain)"), std::string::npos)
      << ran.output;
}

TEST(ExecTarget, AProgramThatDiesEndsTheRun) {
  expect_gone(verify("exit 3", one_component), "the program left with exit code 3");
  expect_gone(verify("read line; kill -SEGV \\$\\$", one_component),
              "the program was killed by signal 11");
}

TEST(ExecTarget, AProgramThatClosesItsOutputEndsTheRun) {
  expect_gone(verify("exec >&-; sleep 5", one_component), "the program closed its standard output");
}

TEST(ExecTarget, AProgramThatHangsEndsTheRunInTime) {
  const auto start = std::chrono::steady_clock::now();
  expect_gone(verify("sleep 30", one_component, "0.3"), "the program did not answer in time");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

TEST(ExecTarget, GarbageEndsTheRun) {
  expect_gone(verify("yes hello", one_component), "got \"hello\"");
  expect_gone(verify("yes 42", one_component), "got \"42\"");
  expect_gone(verify("yes '{}'", one_component), "got \"{}\"");
  expect_gone(verify("head -c 2000000 /dev/zero; sleep 9", one_component), "a mebibyte came");
  // It says that it has written what it has not.
  expect_gone(verify("while read line; do echo '{\\\"ok\\\": true}'; done", one_component),
              "outputs.h5");
}

TEST(ExecTarget, ANonsensicalTimeOutIsASentence) {
  for (const char* text : {"0", "-1", "soon", "nan", "1x"}) {
    const Ran ran = verify("exit 0", one_component, text);
    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_NE(ran.output.find("PAIREDHEAD_EXEC_TIMEOUT: expected a number of seconds above 0"),
              std::string::npos)
        << ran.output;
  }
}

// Programs in a few lines of shell: what they answer to the case is up to them.
class ShellTarget : public ::testing::Test {
 protected:
  const Component& component_ = component_named("key_shift");
  const Parameters parameters_ = Parameters::parse("D=16 H=1 T=2");
  const Arrays inputs_ = component_.inputs(parameters_, 1);
  Arrays outputs_ = poisoned_outputs(
      component_, component_.reference(parameters_, inputs_, Rounding::exact()), 1);
};

TEST_F(ShellTarget, AReportedErrorFailsTheCaseAndTheProgramLivesOn) {
  const auto target =
      make_exec_target(R"(while read line; do echo '{"ok": false, "error": "out of luck"}'; done)");
  for (int i = 0; i < 3; ++i) {
    try {
      target->run(component_, parameters_, inputs_, outputs_);
      FAIL() << "expected an error";
    } catch (const TargetError& error) {
      FAIL() << error.what();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "the program reports: out of luck");
    }
  }
}

TEST_F(ShellTarget, IsAskedOnceAComponent) {
  const ScratchFolder folder;
  const auto log = folder / "log";
  const auto target = make_exec_target("while read line; do echo \"$line\" >> " + log.string() +
                                       "; echo '{\"skip\": \"not today\"}'; done");
  EXPECT_EQ(target->skips(component_), "not today");
  EXPECT_EQ(target->skips(component_), "not today");
  EXPECT_EQ(target->skips(component_named("qk_norm")), "not today");
  const std::string asked = testing::text_of(log);
  EXPECT_EQ(std::count(asked.begin(), asked.end(), '\n'), 2) << asked;
  EXPECT_NE(
      asked.find("{\"component\":\"key_shift\",\"parameters\":\"D=16 H=1 T=1\",\"inputs\":\"/"),
      std::string::npos)
      << asked;
}

// The program goes away while we write to it: no signal may end us, and none may be left pending.
TEST_F(ShellTarget, WritingToAProgramThatHasGoneRaisesNoSignal) {
  const auto target = make_exec_target("read line; exec <&-; echo '{\"skip\": \"bye\"}'; sleep 5");
  EXPECT_EQ(target->skips(component_), "bye");
  try {
    target->run(component_, parameters_, inputs_, outputs_);
    FAIL() << "expected an error";
  } catch (const TargetError& error) {
    EXPECT_NE(std::string(error.what()).find("the program closed its standard input"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(target->run(component_, parameters_, inputs_, outputs_), TargetError);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

// What the program has started goes with it.
TEST_F(ShellTarget, NothingIsLeftBehind) {
  const ScratchFolder folder;
  const auto pid_file = folder / "pid";
  {
    const auto target = make_exec_target("sleep 60 & echo $! > " + pid_file.string() +
                                         "; while read line; do echo '{\"skip\": \"x\"}'; done");
    EXPECT_EQ(target->skips(component_), "x");
  }
  const int pid = std::stoi(testing::text_of(pid_file));
  for (int i = 0; i < 200 && kill(pid, 0) == 0; ++i) usleep(10'000);
  // Gone, or a zombie that init has not yet collected.
  if (kill(pid, 0) == 0) {
    const std::string status = testing::text_of("/proc/" + std::to_string(pid) + "/stat");
    EXPECT_NE(status.find(") Z "), std::string::npos) << status;
  }
}

TEST_F(ShellTarget, OutputsAreRoundedToTheComponentsDtype) {
  SKIP_WITHOUT_PYTHON();
  const ScratchFolder folder;
  std::ofstream(folder / "program.py") << R"(
import sys
sys.path.insert(0, sys.argv[1])
from protocol import serve
serve({"key_shift": lambda inputs, parameters: {
    "outputs/y": inputs["k"].astype("f8") + 1e-7, "grads/k": inputs["grad_y"]}})
)";
  const auto target = make_exec_target(*python() + " -B " + (folder / "program.py").string() + " " +
                                       PAIREDHEAD_SOURCE_DIR + "/tools/exec_example");
  target->run(component_, parameters_, inputs_, outputs_);
  EXPECT_EQ(outputs_.at("outputs/y").dtype, DType::bf16);
  EXPECT_EQ(outputs_.at("outputs/y").bytes, inputs_.at("k").bytes);
  EXPECT_EQ(outputs_.at("grads/k").bytes, inputs_.at("grad_y").bytes);
}

TEST_F(ShellTarget, AnOutputThatIsNotGivenFailsTheCase) {
  SKIP_WITHOUT_PYTHON();
  const ScratchFolder folder;
  std::ofstream(folder / "program.py") << R"(
import sys
sys.path.insert(0, sys.argv[1])
from protocol import serve
serve({"key_shift": lambda inputs, parameters: {"outputs/y": inputs["k"]}})
)";
  const auto target = make_exec_target(*python() + " -B " + (folder / "program.py").string() + " " +
                                       PAIREDHEAD_SOURCE_DIR + "/tools/exec_example");
  CaseRunner runner(component_, *target);
  const CaseResult result = runner.run({parameters_, 1}, false);
  EXPECT_EQ(result.verdict.status, Status::failed);
  EXPECT_NE(result.verdict.reason.find("the program gave no grads/k"), std::string::npos)
      << result.verdict.reason;
}

}  // namespace
}  // namespace pairedhead
