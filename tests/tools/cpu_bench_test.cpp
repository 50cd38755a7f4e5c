#include "tools/bench/cpu_bench.h"

#include <gtest/gtest.h>

#include "reference/error.h"

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

TEST(CpuBench, ReadsWhatAPeerSays) {
  const ModelTiming timing = time_peer_model(
      R"(echo '{"name": "a peer", "forward_ms": 1.5, "backward_ms": 2.5}' #)", "none.bin", 1, 1);
  EXPECT_EQ(timing.name, "a peer");
  EXPECT_EQ(timing.milliseconds(), 4);
}

TEST(CpuBench, RefusesAPeerThatFailsOrSaysSomethingElse) {
  EXPECT_THROW(time_peer_model("false #", "none.bin", 1, 1), InputError);
  EXPECT_THROW(time_peer_model("echo hello #", "none.bin", 1, 1), InputError);
}

}  // namespace
}  // namespace pairedhead
