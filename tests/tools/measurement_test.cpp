#include "tools/bench/measurement.h"

#include <gtest/gtest.h>

#include "tools/bench/bench_plan.h"

namespace pairedhead {
namespace {

const Ceilings ceilings = {"a machine", 3e12, 800e12};

TEST(Measurement, FloorIsTheLargerOfBytesAndArithmetic) {
  const Measurement bytes{"x", "", "forward", 0.2, {300e6, 1e9}, {}};
  EXPECT_DOUBLE_EQ(bytes.floor_milliseconds(ceilings), 0.1);
  EXPECT_DOUBLE_EQ(bytes.share_of_roofline(ceilings), 0.5);
  EXPECT_DOUBLE_EQ(bytes.gigabytes_per_second(), 1500);
  const Measurement flops{"x", "", "forward", 0.2, {1e6, 80e9}, {}};
  EXPECT_DOUBLE_EQ(flops.floor_milliseconds(ceilings), 0.1);
  EXPECT_DOUBLE_EQ(flops.teraflops(), 400);
}

TEST(Measurement, MedianOfOddEvenAndNone) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_THROW(median({}), InputError);
}

TEST(Measurement, TableAndJsonNameThePeer) {
  const std::vector<Measurement> rows = {{"attention_paired", "T=1", "forward", 0.1, {1, 1}, 0.2},
                                         {"qk_prepare", "T=1", "forward", 0.1, {1, 1}, {}}};
  EXPECT_NE(bench_table(ceilings, rows).find("0.50"), std::string::npos);
  const auto json = bench_json(ceilings, rows);
  EXPECT_EQ(json["rows"][0]["peer_ms"], 0.2);
  EXPECT_FALSE(json["rows"][1].contains("peer_ms"));
}

TEST(BenchPlan, HasThePeersNineRowsAndRefusesTheRest) {
  EXPECT_EQ(
      bench_plan({"attention_paired"}, "").size() + bench_plan({"attention_plain"}, "").size(), 9u);
  for (const BenchSetting& setting : bench_plan({}, "")) {
    EXPECT_NO_THROW(component_named(setting.component).check(setting.parameters));
    EXPECT_GT(component_named(setting.component).work(setting.parameters, false).bytes, 0);
  }
  EXPECT_THROW(bench_plan({"key_shift"}, ""), InputError);
  EXPECT_THROW(bench_plan({"no_such_row"}, ""), InputError);
  EXPECT_THROW(bench_plan({}, "/no/such/shard.bin"), InputError);
}

}  // namespace
}  // namespace pairedhead
