#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "tests/tools/python.h"

// The Python in golden/README.md runs and says what it promises.

namespace pairedhead {
namespace {

const std::string root = PAIREDHEAD_SOURCE_DIR;

TEST(GoldenReadme, ExampleJudgesAGolden) {
  SKIP_WITHOUT_PYTHON();
  std::ostringstream readme;
  readme << std::ifstream(root + "/golden/README.md").rdbuf();
  const std::string begin = "```python\n";
  const std::size_t start = readme.str().find(begin) + begin.size();
  const std::string script = readme.str().substr(start, readme.str().find("```", start) - start);
  const auto run = [&](const std::string& text) {
    const std::string file = ::testing::TempDir() + "/pairedhead_readme_example.py";
    std::ofstream(file) << text;
    const testing::Ran ran =
        testing::run_shell("cd '" + root + "' && '" + *testing::python() + "' '" + file + "'");
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    return ran.output;
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
