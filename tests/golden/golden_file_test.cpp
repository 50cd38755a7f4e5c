#include "golden/golden_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "golden/hdf5_file.h"
#include "reference/random.h"
#include "reference/spec_version.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A folder of its own for each test, removed with it.
class GoldenFile : public testing::Test {
 protected:
  GoldenFile() { fs::create_directories(folder_); }
  ~GoldenFile() override { fs::remove_all(folder_); }
  fs::path file(const std::string& name) const { return folder_ / name; }

  static std::string bytes(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void write_bytes(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }

 private:
  fs::path folder_ =
      fs::temp_directory_path() / ("pairedhead_golden_" + std::to_string(getpid()) + "_" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

Tensor<double> random_tensor(const Shape& shape, Random& random) {
  Tensor<double> tensor(shape);
  for (double& value : tensor.values()) value = random.normal();
  return tensor;
}

GoldenCase example(const std::string& name, std::uint64_t seed) {
  Random random(seed);
  const Shape shape = {5, 2, 8};
  GoldenCase golden;
  golden.name = name;
  golden.component = "attention_paired";
  golden.origin = "reference";
  golden.parameters = "D=8 H=2 T=5 documents=3,2 pairing=strided scale=0.125";
  golden.seed = seed;
  golden.inputs["q"] = to_array(random_tensor(shape, random), DType::bf16);
  golden.inputs["grad_y"] = to_array(random_tensor(shape, random), DType::bf16);
  golden.inputs["x0"] = to_array(random_tensor({3}, random), DType::fp32);
  golden.inputs["exact"] = to_array(random_tensor({3}, random), DType::fp64);
  golden.inputs["cu_seqlens"] = from_indices({0, 3, 5, 5});
  golden.inputs["tokens"] = Array(DType::uint16, {2, 3});
  golden.inputs["tokens"].set(4, 50256);
  golden.inputs["window"] = Array(DType::int32, {});
  golden.inputs["window"].set(0, 7);
  golden.values["outputs/y"] = random_tensor(shape, random);
  golden.values["grads/q"] = random_tensor(shape, random);
  golden.dtypes["outputs/y"] = DType::bf16;
  golden.scale["outputs/y"] = random_tensor(shape, random);
  golden.scale["grads/q"] = random_tensor(shape, random);
  return golden;
}

void expect_equal(const Tensor<double>& a, const Tensor<double>& b) {
  ASSERT_EQ(a.shape(), b.shape());
  for (Index i = 0; i < a.size(); ++i) EXPECT_EQ(a[i], b[i]) << "element " << i;
}

void expect_equal(const Array& a, const Array& b) {
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.bytes, b.bytes);
}

void expect_equal(const GoldenCase& a, const GoldenCase& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.component, b.component);
  EXPECT_EQ(a.origin, b.origin);
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.seed, b.seed);
  ASSERT_EQ(a.inputs.size(), b.inputs.size());
  for (const auto& [name, array] : a.inputs) expect_equal(array, b.inputs.at(name));
  ASSERT_EQ(a.values.size(), b.values.size());
  for (const auto& [key, value] : a.values) expect_equal(value, b.values.at(key));
  ASSERT_EQ(a.scale.size(), b.scale.size());
  for (const auto& [key, value] : a.scale) expect_equal(value, b.scale.at(key));
}

// The sentence of the InputError that `action` throws; a failure if it throws none.
template <class Action>
std::string sentence(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no InputError";
  return "";
}

TEST_F(GoldenFile, ReadsWhatWasWritten) {
  const std::vector<GoldenCase> cases = {example("case_b", 0xfedcba9876543210ull),
                                         example("case_a", 2)};
  write_golden(file("x.h5"), cases);
  const std::vector<GoldenCase> read = read_golden(file("x.h5"));
  ASSERT_EQ(read.size(), 2u);
  expect_equal(read[0], cases[1]);  // by name
  expect_equal(read[1], cases[0]);
  EXPECT_EQ(read[0].spec_version, spec_version);
  EXPECT_THAT(read[0].created_by, HasSubstr("pairedhead "));
  EXPECT_EQ(read[0].dtypes.at("outputs/y"), DType::bf16);
  EXPECT_EQ(read[0].dtypes.at("grads/q"), DType::fp64);
  EXPECT_EQ(list_golden(file("x.h5")), (std::vector<std::string>{"case_a", "case_b"}));
}

TEST_F(GoldenFile, ParametersAreAttributesOfTheirOwn) {
  write_golden(file("x.h5"), {example("a", 1)});
  const hdf5::Reader reader(file("x.h5"));
  EXPECT_EQ(reader.integer("a", "T"), 5u);
  EXPECT_EQ(reader.text("a", "pairing"), "strided");
  EXPECT_EQ(reader.text("a", "scale"), "0.125");
  EXPECT_TRUE(reader.has_attribute("a", "documents"));
}

TEST_F(GoldenFile, EqualContentGivesEqualBytes) {
  write_golden(file("x.h5"), {example("a", 1), example("b", 2)});
  write_golden(file("y.h5"), {example("a", 1), example("b", 2)});
  EXPECT_EQ(bytes(file("x.h5")), bytes(file("y.h5")));
}

TEST_F(GoldenFile, BatchKeepsNonFiniteOutputs) {
  BatchCase batch{"a", "softcap", "T=2", 3, {}};
  batch.arrays["inputs/x"] = Array(DType::bf16, {2});
  batch.arrays["outputs/y"] = Array(DType::bf16, {2});
  batch.arrays["outputs/y"].set(0, NAN);
  batch.arrays["outputs/y"].set(1, INFINITY);
  write_batch(file("x.h5"), {batch});
  const std::vector<BatchCase> read = read_batch(file("x.h5"));
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].component, "softcap");
  EXPECT_EQ(read[0].parameters, "T=2");
  EXPECT_EQ(read[0].seed, 3u);
  EXPECT_TRUE(std::isnan(read[0].arrays.at("outputs/y").at(0)));
  EXPECT_EQ(read[0].arrays.at("outputs/y").at(1), INFINITY);
}

}  // namespace
}  // namespace pairedhead
