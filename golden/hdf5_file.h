#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "golden/array.h"
#include "reference/tensor.h"

// With hdf5_library.h the only files that know the HDF5 library. Objects are named by their path in
// the file, "case_1/inputs/q". Every failure is an InputError naming file, object, expected and
// got; the library's own error printing is off. The library is not thread-safe: neither are these
// classes.

namespace pairedhead::hdf5 {

// Writes a file so that it appears whole or not at all: under a temporary name beside `path`, then
// synced and renamed by commit(). Without commit() the temporary file is removed. Equal content
// gives equal bytes: nothing stores a time.
enum class Compression { deflate, none };
class Writer {
 public:
  explicit Writer(std::filesystem::path path, Compression compression = Compression::deflate);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Parents must exist; the root does.
  void group(const std::string& path);
  void attribute(const std::string& object, const std::string& name, const std::string& text);
  void attribute(const std::string& object, const std::string& name, std::uint64_t value);
  // One value is stored as a scalar, more as a vector of int64.
  void attribute(const std::string& object, const std::string& name,
                 const std::vector<std::int64_t>& values);
  // Shuffled, deflated unless told otherwise, with Fletcher32 checksums; bf16 as float32, the
  // others as they are. The
  // attribute dtype names array.dtype.
  void dataset(const std::string& path, const Array& array);
  // As float64 whatever the attribute dtype says, for values finer than the target stores them.
  void dataset(const std::string& path, const Tensor<double>& tensor, DType dtype);
  // Row-major elements of bf16, fp32 or uint16 as they are in memory: bf16 as uint16, its bits.
  void bits(const std::string& path, DType dtype, const Shape& shape, const void* data);

  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads files of ours and of others (h5py's defaults: no checksums, any integer or float type).
class Reader {
 public:
  // Throws InputError if the file is absent, truncated or not HDF5.
  explicit Reader(std::filesystem::path path);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  const std::filesystem::path& path() const;

  bool exists(const std::string& object) const;
  bool is_group(const std::string& object) const;
  // Names in a group, alphabetical. "/" is the root. Links out of the file are refused.
  std::vector<std::string> members(const std::string& group) const;

  bool has_attribute(const std::string& object, const std::string& name) const;
  std::string text(const std::string& object, const std::string& name) const;
  std::uint64_t integer(const std::string& object, const std::string& name) const;

  // The target's storage type by the attribute dtype; nullopt where there is none. Throws
  // InputError on an unknown word.
  std::optional<DType> dtype(const std::string& dataset) const;
  Shape shape(const std::string& dataset) const;
  // Any integer or float type, as doubles; uint16 whose attribute dtype is bf16 by what it means.
  Tensor<double> tensor(const std::string& dataset) const;
  // In the type that the attribute dtype names; without one, in the nearest type to what is stored
  // (integers: int32). Throws InputError where a value does not fit that type exactly.
  Array array(const std::string& dataset) const;
  // What Writer::bits wrote, element_count(shape) elements. Throws InputError where the dataset has
  // another dtype or shape.
  void bits(const std::string& dataset, DType dtype, const Shape& shape, void* to) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "[0, 3, 17]": the indices of a row-major element, for sentences about it.
std::string position(Index element, const Shape& shape);

}  // namespace pairedhead::hdf5
