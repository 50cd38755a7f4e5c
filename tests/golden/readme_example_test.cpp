#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

// The Python in golden/README.md runs and says what it promises.

namespace pairedhead {
namespace {

const std::string root = PAIREDHEAD_SOURCE_DIR;

// An interpreter that has numpy and h5py; empty if there is none.
std::string python() {
  const char* chosen = std::getenv("PAIREDHEAD_PYTHON");
  for (const std::string candidate : {chosen ? chosen : "", "python3", "/usr/bin/python3"}) {
    const std::string probe = candidate + " -c 'import numpy, h5py' 2> /dev/null";
    if (!candidate.empty() && std::system(probe.c_str()) == 0) return candidate;
  }
  return "";
}

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return output;
}

TEST(GoldenReadme, ExampleJudgesAGolden) {
  const std::string interpreter = python();
  if (interpreter.empty()) GTEST_SKIP() << "no Python with numpy and h5py";
  std::ostringstream readme;
  readme << std::ifstream(root + "/golden/README.md").rdbuf();
  const std::string begin = "```python\n";
  const std::size_t start = readme.str().find(begin) + begin.size();
  const std::string script = readme.str().substr(start, readme.str().find("```", start) - start);
  const auto run = [&](const std::string& text) {
    const std::string file = testing::TempDir() + "/pairedhead_readme_example.py";
    std::ofstream(file) << text;
    return output_of("cd '" + root + "' && " + interpreter + " '" + file + "' 2>&1");
  };

  const std::string honest = run(script);
  EXPECT_NE(honest.find("PASSED"), std::string::npos) << honest;
  EXPECT_EQ(honest.find("FAILED"), std::string::npos) << honest;

  // The same judge with a kernel that answers zeros.
  const std::string answer = "exact.astype(np.float32)";
  ASSERT_NE(script.find(answer), std::string::npos);
  const std::string cheat =
      run(std::string(script).replace(script.find(answer), answer.size(), "0"));
  EXPECT_NE(cheat.find("FAILED"), std::string::npos) << cheat;
  EXPECT_EQ(cheat.find("PASSED"), std::string::npos) << cheat;
}

}  // namespace
}  // namespace pairedhead
