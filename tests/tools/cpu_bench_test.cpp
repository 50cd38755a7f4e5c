#include "tools/bench/cpu_bench.h"

#include <gtest/gtest.h>

#include "reference/error.h"
#include "tools/targets/target.h"

namespace pairedhead {
namespace {

TEST(CpuBench, CountsTheProductsOfTheRecord) {
  // A token: ten banks of 4 * 768^2, eleven MLPs of 2 * 768 * 3072, one head of 768 * 50304.
  EXPECT_EQ(record_model_flops(1), 2.0 * (10 * 2359296.0 + 11 * 4718592.0 + 38633472.0));
}

TEST(CpuBench, RatiosAreOursOverTheOthers) {
  const std::string table = cpu_bench_table({{"ours", 1000, 2000}, {"peer", 500, 1000}}, 256, 4.5);
  EXPECT_NE(table.find("2.00"), std::string::npos) << table;
  EXPECT_EQ(
      cpu_bench_json({{"ours", 1000, 2000}, {"peer", 500, 1000}}, 256, 4.5)["rows"][1]["ratio"],
      2.0);
}

TEST(CpuBench, ReadsWhatAPeerAnswers) {
  const ModelTiming timing = time_peer_model(
      R"(read line; test "$line" = '{"repeats":2,"shard":"a file.bin","tokens":3}' &&)"
      R"( echo '{"name": "a peer", "forward_ms": 1.5, "backward_ms": 2.5}')",
      "a file.bin", 3, 2);
  EXPECT_EQ(timing.name, "a peer");
  EXPECT_EQ(timing.milliseconds(), 4);
}

TEST(CpuBench, RefusesAPeerThatEndsOrSaysSomethingElse) {
  EXPECT_THROW(time_peer_model("read line; false", "none.bin", 1, 1), TargetError);
  EXPECT_THROW(time_peer_model("read line; echo hello", "none.bin", 1, 1), InputError);
}

}  // namespace
}  // namespace pairedhead
