#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "golden/hdf5_file.h"
#include "golden/hdf5_library.h"

namespace pairedhead::hdf5 {
namespace {

constexpr Index chunk_elements = Index{1} << 16;
constexpr unsigned deflate_level = 9;

Handle scalar_space() { return {H5Screate(H5S_SCALAR), H5Sclose}; }

std::vector<hsize_t> to_dims(const Shape& shape) { return {shape.begin(), shape.end()}; }

hid_t stored_type(DType dtype) {
  switch (dtype) {
    case DType::bf16:
    case DType::fp32:
    case DType::e4m3:
    case DType::e5m2:
      return H5T_IEEE_F32LE;
    case DType::fp64:
      return H5T_IEEE_F64LE;
    case DType::int32:
      return H5T_STD_I32LE;
    case DType::uint16:
      return H5T_STD_U16LE;
  }
  return -1;
}

// Chunks keep the inner axes whole and hold at most chunk_elements where they can.
std::vector<hsize_t> chunk_dims(const Shape& shape) {
  std::vector<hsize_t> chunk = to_dims(shape);
  Index elements = element_count(shape);
  for (std::size_t axis = 0; axis < chunk.size() && elements > chunk_elements; ++axis) {
    const Index inner = elements / shape[axis];
    chunk[axis] = static_cast<hsize_t>(std::max<Index>(1, chunk_elements / inner));
    elements = inner * static_cast<Index>(chunk[axis]);
  }
  return chunk;
}

}  // namespace

struct Writer::State {
  std::filesystem::path path;
  std::filesystem::path temporary;
  Compression compression;
  Handle file{-1, H5Fclose};
  bool committed = false;

  void check(bool good, const std::string& object) const {
    if (!good) fail(path, object, "to write it", last_message());
  }

  template <class Value>
  void attribute(const std::string& object, const std::string& name, hid_t file_type,
                 hid_t memory_type, const Handle& space, const Value* value) const {
    const Handle owner(H5Oopen(file.get(), object.c_str(), H5P_DEFAULT), H5Oclose);
    check(owner.valid(), object);
    const Handle attribute(
        H5Acreate2(owner.get(), name.c_str(), file_type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    check(attribute.valid() && H5Awrite(attribute.get(), memory_type, value) >= 0,
          object + " attribute " + name);
  }

  void dataset(const std::string& name, const Shape& shape, hid_t file_type, hid_t memory_type,
               const void* values) const {
    const std::vector<hsize_t> dims = to_dims(shape);
    const Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                       H5Sclose);
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    bool good =
        space.valid() && creation.valid() && H5Pset_obj_track_times(creation.get(), false) >= 0;
    if (shape.empty() || element_count(shape) == 0) {
      // Nothing to chunk: the value lies in the object's own, checksummed header.
      good = good && H5Pset_layout(creation.get(), H5D_COMPACT) >= 0;
    } else {
      const std::vector<hsize_t> chunk = chunk_dims(shape);
      good = good &&
             H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()) >= 0 &&
             (compression == Compression::none ||
              (H5Pset_shuffle(creation.get()) >= 0 &&
               H5Pset_deflate(creation.get(), deflate_level) >= 0)) &&
             H5Pset_fletcher32(creation.get()) >= 0;
    }
    check(good, name);
    Handle dataset(H5Dcreate2(file.get(), name.c_str(), file_type, space.get(), H5P_DEFAULT,
                              creation.get(), H5P_DEFAULT),
                   H5Dclose);
    check(dataset.valid() &&
              H5Dwrite(dataset.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0 &&
              dataset.close(),
          name);
  }
};

Writer::Writer(std::filesystem::path path, Compression compression)
    : state_(std::make_unique<State>()) {
  switch_off_error_printing();
  state_->compression = compression;
  state_->path = std::move(path);
  state_->temporary = state_->path;
  state_->temporary += ".part" + std::to_string(getpid());
  // The newest format: unlike the oldest, it has checksums on all its structure.
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  state_->check(access.valid() && creation.valid() &&
                    H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
                    H5Pset_obj_track_times(creation.get(), false) >= 0,
                "");
  Handle file(H5Fcreate(state_->temporary.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()),
              H5Fclose);
  if (!file.valid()) {
    const std::string reason = errno != 0 ? std::strerror(errno) : last_message();
    std::error_code ignored;  // there may be a file already, with nothing in it
    std::filesystem::remove(state_->temporary, ignored);
    fail(state_->path, "", "a place that can be written", reason);
  }
  state_->file = std::move(file);
}

Writer::~Writer() {
  if (!state_->committed) {
    state_->file.close();
    std::error_code ignored;
    std::filesystem::remove(state_->temporary, ignored);
  }
}

void Writer::group(const std::string& path) {
  const Handle creation(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  state_->check(creation.valid() && H5Pset_obj_track_times(creation.get(), false) >= 0, path);
  const Handle group(
      H5Gcreate2(state_->file.get(), path.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
      H5Gclose);
  state_->check(group.valid(), path);
}

// Fixed length: strings of variable length live in a heap of the file that has no checksum.
void Writer::attribute(const std::string& object, const std::string& name,
                       const std::string& text) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  state_->check(type.valid() && H5Tset_size(type.get(), text.size() + 1) >= 0 &&
                    H5Tset_cset(type.get(), H5T_CSET_UTF8) >= 0,
                object);
  state_->attribute(object, name, type.get(), type.get(), scalar_space(), text.c_str());
}

void Writer::attribute(const std::string& object, const std::string& name, std::uint64_t value) {
  state_->attribute(object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, scalar_space(), &value);
}

void Writer::attribute(const std::string& object, const std::string& name,
                       const std::vector<std::int64_t>& values) {
  const hsize_t count = values.size();
  const Handle space =
      count == 1 ? scalar_space() : Handle(H5Screate_simple(1, &count, nullptr), H5Sclose);
  state_->attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, space, values.data());
}

void Writer::dataset(const std::string& path, const Array& array) {
  if (array.dtype == DType::bf16) {
    std::vector<float> widened(static_cast<std::size_t>(array.size()));
    for (Index i = 0; i < array.size(); ++i) {
      widened[static_cast<std::size_t>(i)] = static_cast<float>(array.at(i));
    }
    state_->dataset(path, array.shape, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, widened.data());
  } else {
    const hid_t memory = array.dtype == DType::fp32    ? H5T_NATIVE_FLOAT
                         : array.dtype == DType::fp64  ? H5T_NATIVE_DOUBLE
                         : array.dtype == DType::int32 ? H5T_NATIVE_INT32
                                                       : H5T_NATIVE_UINT16;
    state_->dataset(path, array.shape, stored_type(array.dtype), memory, array.bytes.data());
  }
  attribute(path, "dtype", std::string(name_of(array.dtype)));
}

void Writer::dataset(const std::string& path, const Tensor<double>& tensor, DType dtype) {
  state_->dataset(path, tensor.shape(), H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, tensor.data());
  attribute(path, "dtype", std::string(name_of(dtype)));
}

void Writer::bits(const std::string& path, DType dtype, const Shape& shape, const void* data) {
  const bool wide = dtype == DType::fp32;
  state_->dataset(path, shape, wide ? H5T_IEEE_F32LE : H5T_STD_U16LE,
                  wide ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT16, data);
  attribute(path, "dtype", std::string(name_of(dtype)));
}

void Writer::commit() {
  State& state = *state_;
  state.check(H5Fflush(state.file.get(), H5F_SCOPE_LOCAL) >= 0 && state.file.close(), "");
  const int descriptor = open(state.temporary.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  if (descriptor >= 0) close(descriptor);
  if (!synced || std::rename(state.temporary.c_str(), state.path.c_str()) != 0) {
    fail(state.path, "", "to write it", std::strerror(errno));
  }
  state.committed = true;
}

}  // namespace pairedhead::hdf5
