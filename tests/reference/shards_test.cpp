#include "reference/shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "reference/random.h"

namespace pairedhead::reference {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Index vocabulary = 50304;

class Shards : public testing::Test {
 protected:
  Shards() { fs::create_directories(folder_); }
  ~Shards() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::vector<std::byte>& bytes) const {
    std::ofstream out(folder_ / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    return folder_ / name;
  }
  const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_ =
      fs::temp_directory_path() / ("pairedhead_shards_" + std::to_string(getpid()) + "_" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

const Tokens example = {50256, 1, 2, 50303, 0, 50256, 258};

void put_int32(std::vector<std::byte>& bytes, std::size_t entry, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[4 * entry + i] = static_cast<std::byte>(value >> (8 * i));
  }
}

TEST_F(Shards, LayoutOfTheFile) {  // SPEC §8 "File"
  const std::vector<std::byte> bytes = encode_shard(example);
  ASSERT_EQ(bytes.size(), 1024 + 2 * example.size());
  // 20240520 = 0x0134d888
  EXPECT_THAT(std::vector<std::byte>(bytes.begin(), bytes.begin() + 12),
              ElementsAre(std::byte{0x88}, std::byte{0xd8}, std::byte{0x34}, std::byte{0x01},
                          std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{7},
                          std::byte{0}, std::byte{0}, std::byte{0}));
  EXPECT_EQ(bytes[1024 + 12], std::byte{2});  // 258 = 0x0102
  EXPECT_EQ(bytes[1024 + 13], std::byte{1});
  EXPECT_EQ(parse_shard(bytes, "x", vocabulary), example);
  EXPECT_EQ(read_shard(write("x.bin", bytes), vocabulary), example);
  EXPECT_EQ(read_shard(write("y.bin", encode_shard({})), vocabulary), Tokens{});
}

TEST_F(Shards, RefusesDamage) {
  const auto refused = [&](const std::function<void(std::vector<std::byte>&)>& damage) {
    std::vector<std::byte> bytes = encode_shard(example);
    damage(bytes);
    std::string from_file, from_memory;
    try {
      read_shard(write("x.bin", bytes), vocabulary);
    } catch (const InputError& error) {
      from_file = error.what();
    }
    try {
      parse_shard(bytes, (folder() / "x.bin").string(), vocabulary);
    } catch (const InputError& error) {
      from_memory = error.what();
    }
    EXPECT_EQ(from_file, from_memory);
    EXPECT_THAT(from_file, HasSubstr("x.bin: "));
    return from_file;
  };
  using Bytes = std::vector<std::byte>;
  EXPECT_THAT(refused([](Bytes& b) { put_int32(b, 0, 20240521); }),
              HasSubstr("magic number: expected 20240520, got 20240521"));
  EXPECT_THAT(refused([](Bytes& b) { put_int32(b, 1, 2); }),
              HasSubstr("version: expected 1, got 2"));
  EXPECT_THAT(refused([](Bytes& b) { put_int32(b, 2, 0xffffffff); }),
              HasSubstr("token count: expected at least 0, got -1"));
  EXPECT_THAT(refused([](Bytes& b) { put_int32(b, 2, 0x7fffffff); }),
              HasSubstr("size: expected 4294968318 bytes for 2147483647 tokens, got 1038"));
  EXPECT_THAT(refused([](Bytes& b) { b.pop_back(); }),
              HasSubstr("size: expected 1038 bytes for 7 tokens, got 1037"));
  EXPECT_THAT(refused([](Bytes& b) { b.resize(b.size() + 2); }),
              HasSubstr("size: expected 1038 bytes for 7 tokens, got 1040"));
  EXPECT_THAT(refused([](Bytes& b) { b.resize(1023); }),
              HasSubstr("header: expected 1024 bytes, got 1023"));
  EXPECT_THAT(refused([](Bytes& b) { b.clear(); }),
              HasSubstr("header: expected 1024 bytes, got 0"));
  EXPECT_THAT(refused([](Bytes& b) { b[1024 + 7] = std::byte{0xff}; }),
              HasSubstr("token 3: expected less than 50304, got 65407"));
}

TEST_F(Shards, RefusesWhatIsNoFile) {
  EXPECT_THROW(read_shard(folder() / "none.bin", vocabulary), InputError);
  EXPECT_THROW(read_shard(folder(), vocabulary), InputError);
}

TEST_F(Shards, FilesInLexicographicOrder) {
  for (const char* name :
       {"train_10.bin", "train_2.bin", "Train_3.bin", "val.bin", "train_1.bin"}) {
    write(name, encode_shard(example));
  }
  const std::vector<fs::path> files = shard_files((folder() / "train_*.bin").string());
  EXPECT_THAT(files, ElementsAre(folder() / "train_1.bin", folder() / "train_10.bin",
                                 folder() / "train_2.bin"));
  try {
    shard_files((folder() / "test_*.bin").string());
    FAIL() << "no InputError";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("expected at least one file of that pattern, got none"));
  }
}

// Valid files, damaged at seeded random places, are read right or refused. Only a changed token
// below the vocabulary cannot be noticed: the format has no checksum.
TEST_F(Shards, FuzzedFilesAreReadOrRefused) {
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Tokens tokens(static_cast<std::size_t>(random.integer(0, 200)));
    for (std::uint16_t& token : tokens) {
      token = static_cast<std::uint16_t>(random.integer(0, vocabulary - 1));
    }
    std::vector<std::byte> bytes = encode_shard(tokens);
    const Index kind = random.integer(0, 3);
    bool header_damaged = false;
    if (kind == 0) {
      bytes.resize(static_cast<std::size_t>(random.integer(0, static_cast<Index>(bytes.size()))));
    } else if (kind == 1) {
      bytes.resize(bytes.size() + static_cast<std::size_t>(random.integer(1, 3000)));
    } else {
      // Half of the damage into the fields that are read, half anywhere.
      const Index end = random.integer(0, 1) ? 12 : static_cast<Index>(bytes.size());
      const auto place = static_cast<std::size_t>(random.integer(0, end - 1));
      bytes[place] ^= static_cast<std::byte>(random.integer(1, 255));
      header_damaged = place < 12;
    }
    const bool whole = bytes.size() == 1024 + 2 * tokens.size() && !header_damaged;
    try {
      const Tokens read = read_shard(write("x.bin", bytes), vocabulary);
      EXPECT_TRUE(whole);
      ASSERT_EQ(read.size(), tokens.size());
      int changed = 0;
      for (std::size_t i = 0; i < read.size(); ++i) {
        EXPECT_LT(read[i], vocabulary);
        changed += read[i] != tokens[i];
      }
      EXPECT_LE(changed, kind >= 2 ? 1 : 0);
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 150);
  EXPECT_LT(refused, 600);
}

}  // namespace
}  // namespace pairedhead::reference
