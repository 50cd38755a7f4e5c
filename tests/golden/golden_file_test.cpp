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
#include "tests/refusal.h"

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

TEST_F(GoldenFile, ReadsWhatH5pyWrites) {
  const std::vector<BatchCase> read = read_batch(PAIREDHEAD_SOURCE_DIR "/tests/golden/h5py.h5");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].name, "case_0");
  EXPECT_EQ(read[0].component, "rotary_plain");
  EXPECT_EQ(read[0].seed, 7u);
  EXPECT_EQ(to_indices(read[0].arrays.at("inputs/cu_seqlens")), (std::vector<Index>{0, 2, 3}));
  EXPECT_EQ(read[0].arrays.at("inputs/q").dtype, DType::fp32);
  EXPECT_EQ(read[0].arrays.at("outputs/y").dtype, DType::fp64);
  EXPECT_EQ(read[0].arrays.at("outputs/half").dtype, DType::fp32);
  EXPECT_EQ(read[0].arrays.at("outputs/half").at(3), 0.333251953125);
}

TEST_F(GoldenFile, WritingIsAllOrNothing) {
  write_golden(file("x.h5"), {example("a", 1)});
  const std::string before = bytes(file("x.h5"));
  GoldenCase second = example("a", 2);  // the same name: HDF5 refuses it half-way
  EXPECT_THROW(write_golden(file("x.h5"), {example("a", 1), second}), InputError);
  EXPECT_EQ(bytes(file("x.h5")), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(file("")), {}), 1);
  EXPECT_THAT(refusal([&] { write_golden(file("none") / "x.h5", {example("a", 1)}); }),
              HasSubstr("x.h5: expected a place that can be written"));
}

// Each damage to a case, and what the sentence about it must say.
TEST_F(GoldenFile, RefusesWhatBreaksTheSchema) {
  const auto refused = [&](auto damage) {
    GoldenCase golden = example("a", 1);
    damage(golden);
    return refusal([&] { write_golden(file("x.h5"), {golden}); });
  };
  EXPECT_THAT(refused([](GoldenCase& g) { g.origin = "hearsay"; }),
              HasSubstr("a attribute origin: expected reference, oracle or record"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.inputs["q"].set(9, NAN); }),
              HasSubstr("a/inputs/q: expected finite values, got nan at [0, 1, 1]"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.values["outputs/y"][0] = -INFINITY; }),
              HasSubstr("a/outputs/y: expected finite values, got -inf at [0, 0, 0]"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.scale["outputs/y"] = Tensor<double>({5}); }),
              HasSubstr("a/scale/outputs/y: expected the shape of outputs/y, [5, 2, 8], got [5]"));
  EXPECT_THAT(refused([](GoldenCase& g) {
                g.values["grads/q"] = Tensor<double>({5, 2, 4});
              }),
              HasSubstr("a/grads/q: expected the shape of inputs/q, [5, 2, 8], got [5, 2, 4]"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.inputs["grad_y"] = Array(DType::bf16, {1}); }),
              HasSubstr("a/inputs/grad_y: expected the shape of outputs/y"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.inputs.erase("q"); }),
              HasSubstr("a/grads/q: expected the dataset inputs/q beside it, got none"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.values.erase("grads/q"); }),
              HasSubstr("a/scale/grads/q: expected the dataset grads/q beside it, got none"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.values["y"] = Tensor<double>({1}); }),
              HasSubstr("expected keys such as outputs/y, got y"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.name = "a/b"; }), HasSubstr("a name without /"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.parameters = "D=8 H"; }),
              HasSubstr("a attribute parameters: expected NAME=VALUE, got H"));
  EXPECT_THAT(refused([](GoldenCase& g) { g.parameters = "seed=8"; }), HasSubstr("got seed"));
  EXPECT_FALSE(fs::exists(file("x.h5")));
}

// What a writer other than ours may leave out or get wrong.
TEST_F(GoldenFile, RefusesIncompleteFiles) {
  const auto refused = [&](auto write) {
    {
      hdf5::Writer writer(file("x.h5"));
      writer.group("a");
      for (const char* name : {"component", "origin", "spec_version", "created_by"}) {
        writer.attribute("a", name, std::string("oracle"));
      }
      writer.group("a/inputs");
      writer.group("a/outputs");
      write(writer);
      writer.commit();
    }
    return refusal([&] { read_golden(file("x.h5")); });
  };
  const auto complete = [](hdf5::Writer& writer) {
    writer.attribute("a", "seed", std::uint64_t{1});
    writer.attribute("a", "parameters", std::string("T=1"));
  };
  EXPECT_THAT(refused([](hdf5::Writer&) {}), HasSubstr("a: expected an attribute parameters"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) { complete(w); }),
              HasSubstr("a: expected datasets under outputs or grads, got none"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) {
                w.attribute("a", "seed", std::string("one"));
                w.attribute("a", "parameters", std::string("T=1"));
              }),
              HasSubstr("a attribute seed: expected an integer, got text"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) {
                w.attribute("a", "seed", std::vector<std::int64_t>{-3});
                w.attribute("a", "parameters", std::string("T=1"));
              }),
              HasSubstr("a attribute seed: expected an integer >= 0, got -3"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) {
                w.attribute("a", "seed", std::vector<std::int64_t>{1, 2});
                w.attribute("a", "parameters", std::string("T=1"));
              }),
              HasSubstr("a attribute seed: expected one value, got several or none"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) {
                complete(w);
                w.dataset("a/inputs/q", Tensor<double>({2}, 0.1), DType::bf16);
              }),
              HasSubstr("a/inputs/q: expected values of bf16, got 0.100000 at [0]"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) {
                complete(w);
                w.dataset("a/inputs/q", Tensor<double>({2}, 1), DType::int32);
              }),
              HasSubstr("a/inputs/q: expected integers for dtype int32, got float64"));
  EXPECT_THAT(refused([&](hdf5::Writer& w) {
                complete(w);
                w.group("a/inputs/q");
              }),
              HasSubstr("a/inputs/q: expected"));
}

TEST_F(GoldenFile, RefusesAnUnknownDtype) {
  std::string content = bytes(PAIREDHEAD_SOURCE_DIR "/tests/golden/h5py.h5");
  const std::size_t word = content.find("fp32");  // no checksums in this file
  ASSERT_NE(word, std::string::npos);
  write_bytes(file("x.h5"), content.replace(word, 4, "fp23"));
  EXPECT_THAT(refusal([&] { read_batch(file("x.h5")); }),
              HasSubstr("case_0/inputs/q attribute dtype: expected one of bf16, fp32, fp64, int32, "
                        "uint16, e4m3, e5m2, got fp23"));
}

TEST_F(GoldenFile, RefusesInputsThatAreNotFinite) {
  BatchCase batch{"a", "softcap", "T=2", 3, {}};
  batch.arrays["inputs/x"] = Array(DType::fp32, {2, 2});
  batch.arrays["inputs/x"].set(2, NAN);
  write_batch(file("x.h5"), {batch});
  EXPECT_THAT(refusal([&] { read_batch(file("x.h5")); }),
              HasSubstr("a/inputs/x: expected finite values, got nan at [1, 0]"));
}

TEST_F(GoldenFile, RefusesWhatIsNoHdf5File) {
  EXPECT_THAT(refusal([&] { read_golden(file("none.h5")); }),
              HasSubstr("none.h5: expected a file, got No such file or directory"));
  EXPECT_THAT(refusal([&] { read_golden(file("")); }), HasSubstr("got Is a directory"));
  for (const std::string& content :
       {std::string(), std::string("no HDF5"), std::string(4096, '\0')}) {
    write_bytes(file("x.h5"), content);
    EXPECT_THAT(refusal([&] { read_golden(file("x.h5")); }),
                HasSubstr("x.h5: expected a whole HDF5 file, got "));
  }
  write_golden(file("x.h5"), {example("a", 1)});
  const std::string whole = bytes(file("x.h5"));
  write_bytes(file("x.h5"), whole.substr(0, whole.size() / 2));
  EXPECT_THAT(refusal([&] { read_golden(file("x.h5")); }),
              HasSubstr("x.h5: expected a whole HDF5 file, got truncated file"));
}

TEST_F(GoldenFile, NamesTheDatasetWhoseChecksumFails) {
  GoldenCase golden = example("a", 1);
  Random random(1);
  // Incompressible, and in the only chunk larger than anything else in the file.
  golden.values["outputs/y"] = random_tensor({64, 64}, random);
  golden.scale.clear();
  golden.inputs.erase("grad_y");
  write_golden(file("x.h5"), {golden});
  std::string content = bytes(file("x.h5"));
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
  write_bytes(file("x.h5"), content);
  EXPECT_THAT(refusal([&] { read_golden(file("x.h5")); }),
              HasSubstr("a/outputs/y: expected data that agree with their checksums"));
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
