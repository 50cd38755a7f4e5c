#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "golden/golden_file.h"
#include "reference/random.h"

#ifdef __SANITIZE_ADDRESS__
// The HDF5 library forgets some memory when it fails; ours is still watched.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }
#endif

// Valid files, damaged at seeded random places: every outcome is a correct read or an InputError.
// To repeat one variant: PAIREDHEAD_FUZZ_SEED=SEED tests_golden --gtest_filter=...

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t variants = 300;

std::string read_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Truncated, extended, a few bits flipped, or a few bytes replaced.
std::string damaged(std::string bytes, std::uint64_t seed) {
  Random random(seed);
  const auto anywhere = [&] {
    return static_cast<std::size_t>(random.integer(0, static_cast<Index>(bytes.size()) - 1));
  };
  const Index kind = random.integer(0, 5);
  const Index places = random.integer(1, 4);
  if (kind == 0) {
    bytes.resize(anywhere());
  } else if (kind == 1) {
    for (Index i = 0; i < 100 * places; ++i) bytes += static_cast<char>(random.bits());
  } else {
    for (Index i = 0; i < places; ++i) {
      char& byte = bytes[anywhere()];
      byte = static_cast<char>(kind < 4 ? byte ^ (1 << random.integer(0, 7)) : random.bits());
    }
  }
  return bytes;
}

// Runs `read` on each variant; `read` checks what it could read. `may_crash`: the library may, in
// the copy of the process that tries the file first.
template <class Read>
void fuzz(const fs::path& original, bool may_crash, Read read) {
  const std::string bytes = read_bytes(original);
  ASSERT_FALSE(bytes.empty()) << original;
  const fs::path file =
      fs::temp_directory_path() / ("pairedhead_fuzz_" + std::to_string(getpid()) + ".h5");
  const char* only = std::getenv("PAIREDHEAD_FUZZ_SEED");
  const std::uint64_t first = only ? std::strtoull(only, nullptr, 10) : 0;
  const std::uint64_t end = only ? first + 1 : variants;
  int refused = 0;
  for (std::uint64_t seed = first; seed < end; ++seed) {
    SCOPED_TRACE("PAIREDHEAD_FUZZ_SEED=" + std::to_string(seed));
    std::ofstream(file, std::ios::binary) << damaged(bytes, seed);
    try {
      read(file);
    } catch (const InputError& error) {
      ++refused;
      const std::string sentence = error.what();
      EXPECT_NE(sentence.find(file.string() + ": "), std::string::npos) << sentence;
      EXPECT_TRUE(may_crash || sentence.find("crashes") == std::string::npos) << sentence;
    }
  }
  fs::remove(file);
  // That the damage reaches the readers at all.
  if (!only) {
    EXPECT_GT(refused, static_cast<int>(variants / 4));
    EXPECT_LT(refused, static_cast<int>(variants));
  }
}

std::vector<GoldenCase> examples() {
  std::vector<GoldenCase> cases;
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    Random random(seed);
    GoldenCase golden;
    golden.name = "case_" + std::to_string(seed);
    golden.component = "attention_paired";
    golden.origin = "reference";
    golden.parameters = "D=8 H=2 T=5 documents=3,2 pairing=strided";
    golden.seed = seed;
    golden.inputs["q"] = Array(DType::bf16, {5, 2, 8});
    for (Index i = 0; i < golden.inputs["q"].size(); ++i) {
      golden.inputs["q"].set(i, random.normal());
    }
    golden.inputs["window"] = Array(DType::int32, {});
    for (const char* key : {"outputs/y", "grads/q"}) {
      Tensor<double> tensor({5, 2, 8});
      for (double& value : tensor.values()) value = random.normal();
      golden.values[key] = tensor;
      golden.scale[key] = tensor;
    }
    cases.push_back(golden);
  }
  return cases;
}

// Everything in a golden of ours is under a checksum: what can be read is what was written.
TEST(GoldenFuzz, OurFileIsReadRightOrRefused) {
  const std::vector<GoldenCase> written = examples();
  const fs::path file =
      fs::temp_directory_path() / ("pairedhead_original_" + std::to_string(getpid()) + ".h5");
  write_golden(file, written);
  fuzz(file, false, [&](const fs::path& damaged_file) {
    const std::vector<GoldenCase> read = read_golden(damaged_file);
    ASSERT_EQ(read.size(), written.size());
    for (std::size_t c = 0; c < read.size(); ++c) {
      EXPECT_EQ(read[c].name, written[c].name);
      EXPECT_EQ(read[c].parameters, written[c].parameters);
      EXPECT_EQ(read[c].seed, written[c].seed);
      ASSERT_EQ(read[c].inputs.size(), written[c].inputs.size());
      for (const auto& [name, array] : written[c].inputs) {
        EXPECT_EQ(read[c].inputs.at(name).bytes, array.bytes) << name;
      }
      for (const auto part : {&GoldenCase::values, &GoldenCase::scale}) {
        ASSERT_EQ((read[c].*part).size(), (written[c].*part).size());
        for (const auto& [key, tensor] : written[c].*part) {
          const auto values = (read[c].*part).at(key).values();
          EXPECT_TRUE(std::equal(values.begin(), values.end(), tensor.values().begin(),
                                 tensor.values().end()))
              << key;
        }
      }
    }
  });
  fs::remove(file);
}

// h5py's default format has no checksums: the library may crash on it, but not we, and a changed
// number cannot be told from the right one, but what is read must fit the schema.
TEST(GoldenFuzz, ForeignFileIsReadOrRefused) {
  fuzz(PAIREDHEAD_SOURCE_DIR "/tests/golden/h5py.h5", true, [](const fs::path& damaged_file) {
    for (const BatchCase& batch : read_batch(damaged_file)) {
      for (const auto& [key, array] : batch.arrays) {
        EXPECT_EQ(array.bytes.size(), static_cast<std::size_t>(array.size()) * size_of(array.dtype))
            << key;
      }
    }
  });
}

}  // namespace
}  // namespace pairedhead
