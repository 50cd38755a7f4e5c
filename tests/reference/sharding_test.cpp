#include "reference/sharding.h"

#include <gtest/gtest.h>

namespace pairedhead::reference {
namespace {

const ParameterInfo& named(const std::vector<ParameterInfo>& table, const std::string& name) {
  for (const ParameterInfo& info : table) {
    if (info.name == name) return info;
  }
  throw InputError("no " + name);
}

Index rank_of(const std::vector<ParameterInfo>& table, const std::string& name, Index ranks) {
  const auto owned = owners(table, named(table, name), ranks);
  for (std::size_t rank = 0; rank < owned.size(); ++rank) {
    if (owned[rank].rows > 0) return static_cast<Index>(rank);
  }
  return -1;
}

TEST(Sharding, TheRecordOnEightRanks) {  // SPEC §9
  const auto table = parameter_table(config_named("record"), 8);
  EXPECT_EQ(rank_of(table, "qkvo.0", 8), 0);
  EXPECT_EQ(rank_of(table, "qkvo.1", 8), 0);
  EXPECT_EQ(rank_of(table, "qkvo.5", 8), 2);
  EXPECT_EQ(rank_of(table, "qkvo.7", 8), 3);
  EXPECT_EQ(rank_of(table, "qkvo.10", 8), 4);
  for (Index layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(rank_of(table, c_fc_name(layer), 8), 5 + layer);
    EXPECT_EQ(rank_of(table, c_proj_name(layer), 8), 5 + layer);
  }
  for (Index rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(rank_of(table, c_fc_name(3 + rank), 8), rank);
    EXPECT_EQ(rank_of(table, c_proj_name(3 + rank), 8), rank);
  }
  const auto head = owners(table, named(table, "lm_head"), 8);
  for (Index rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(head[static_cast<std::size_t>(rank)], (Owned{rank * 6288, 6288}));
  }
  for (const Owned& replica : owners(table, named(table, "attn_gate_bank"), 8)) {
    EXPECT_EQ(replica, (Owned{0, 10}));
  }
}

TEST(Sharding, EveryRowHasAnOwner) {
  for (const char* name : {"record", "small", "tiny"}) {
    for (const Index ranks : {1, 2, 4, 8}) {
      const auto table = parameter_table(config_named(name), ranks);
      for (const ParameterInfo& info : table) {
        Index rows = 0;
        const auto owned = owners(table, info, ranks);
        ASSERT_EQ(static_cast<Index>(owned.size()), ranks);
        for (const Owned& part : owned) rows += part.rows;
        const bool replicated =
            info.optimizer == Optimizer::adam && element_count(info.shape) < 1024;
        EXPECT_EQ(rows, info.shape[0] * (replicated ? ranks : 1)) << name << " " << info.name;
      }
    }
  }
}

}  // namespace
}  // namespace pairedhead::reference
