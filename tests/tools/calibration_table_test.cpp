#include <gtest/gtest.h>

#include <fstream>

#include "tests/tools/run_program.h"
#include "tests/tools/scratch_folder.h"

namespace pairedhead::testing {
namespace {

TEST(CalibrationTable, IsTheWorstOfAllSeeds) {
  if (run_shell("python3 -c pass").exit_code != 0) GTEST_SKIP() << "no python3";
  const ScratchFolder folder;
  std::ofstream(folder / "1.json") << R"({"b": {"cases": 5, "rho_max": {"0.5": 0.1, "1": 0.25},
      "rho_row": {"1": 0.5}, "rho_rms": {"1": 0.75}}})";
  std::ofstream(folder / "2.json") << R"({"b": {"cases": 7, "rho_max": {"0.5": 0.9, "1": 0.2},
      "rho_row": {"1": 0.625}, "rho_rms": {"1": 0.125}},
      "a": {"cases": 2, "rho_max": {"1": 1}, "rho_row": {"1": 0}, "rho_rms": {"1": 0.7}}})";
  const Ran ran =
      run_shell("cd '" + folder.path().string() +
                "' && '" PAIREDHEAD_SOURCE_DIR "/tools/verify/calibration_table.py' 1.json 2.json");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output,
            "| row | cases | ρ_max | ρ_row | ρ_rms |\n|---|---|---|---|---|\n"
            "| a | 2 | 1.00 | 0.00 | 0.70 |\n"
            "| b | 12 | 0.25 | 0.62 | 0.75 |\n"
            "\n14 cases of 2 seeds; the worst are 1.00 (`a`, ρ_max), 0.75 (`b`, ρ_rms), "
            "0.70 (`a`, ρ_rms)\n");
}

}  // namespace
}  // namespace pairedhead::testing
