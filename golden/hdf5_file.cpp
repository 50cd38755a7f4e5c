#include "golden/hdf5_file.h"

// The calls below whose signature changed in HDF5 1.12 keep their 1.10 form.
#define H5_USE_110_API
#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

namespace pairedhead::hdf5 {
namespace {

constexpr Index chunk_elements = Index{1} << 16;
constexpr unsigned deflate_level = 9;
// Deflate cannot shrink further than this, so a dataset that claims more bytes than this many times
// its file's is damaged; asked before memory is.
constexpr double largest_compression = 1100;

// Owns one identifier of the library.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { reset(); }
  void reset() {
    if (id_ >= 0) close_(id_);
    id_ = -1;
  }
  bool valid() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

void switch_off_error_printing() {
  // Nor should the library tidy up where the program ends: after a write that failed (a full disk)
  // it crashes there.
  static const herr_t once = H5dont_atexit() | H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(once);
}

// What the library said about the innermost failure of its last call.
std::string last_message() {
  std::string message;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
        if (depth == 0 && error->desc) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &message);
  return message.empty() ? "an error of the HDF5 library" : message;
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& object,
                       const std::string& expected, const std::string& got) {
  throw InputError(file.string() + ": " + (object.empty() ? "" : object + ": ") + "expected " +
                   expected + ", got " + got);
}

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

bool is_float(DType dtype) { return dtype != DType::int32 && dtype != DType::uint16; }

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

std::string position(Index element, const Shape& shape) {
  Shape indices(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    indices[axis] = element % shape[axis];
    element /= shape[axis];
  }
  return to_string(indices);
}

// ---- Writer

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
    const Handle dataset(H5Dcreate2(file.get(), name.c_str(), file_type, space.get(), H5P_DEFAULT,
                                    creation.get(), H5P_DEFAULT),
                         H5Dclose);
    check(dataset.valid() &&
              H5Dwrite(dataset.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0,
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
    fail(state_->path, "", "a place that can be written",
         errno != 0 ? std::strerror(errno) : last_message());
  }
  state_->file = std::move(file);
}

Writer::~Writer() {
  if (!state_->committed) {
    state_->file.reset();
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

void Writer::commit() {
  State& state = *state_;
  state.check(H5Fflush(state.file.get(), H5F_SCOPE_LOCAL) >= 0, "");
  state.file.reset();
  const int descriptor = open(state.temporary.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  if (descriptor >= 0) close(descriptor);
  if (!synced || std::rename(state.temporary.c_str(), state.path.c_str()) != 0) {
    fail(state.path, "", "to write it", std::strerror(errno));
  }
  state.committed = true;
}

// ---- Reader

namespace {

// Type class and size of a stored number, in words: "float32", "int64".
std::string type_words(hid_t type) {
  const std::string bits = std::to_string(8 * H5Tget_size(type));
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      return "float" + bits;
    case H5T_INTEGER:
      return (H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int") + bits;
    case H5T_STRING:
      return "text";
    default:
      return "a type that is no number";
  }
}

}  // namespace

struct Reader::State {
  std::filesystem::path path;
  double file_bytes = 0;
  Handle file{-1, H5Fclose};

  Handle open_object(const std::string& object) const {
    Handle opened(H5Oopen(file.get(), object.c_str(), H5P_DEFAULT), H5Oclose);
    if (!opened.valid()) fail(path, object, "it in the file", "nothing (" + last_message() + ")");
    return opened;
  }

  Handle open_dataset(const std::string& name) const {
    Handle opened = open_object(name);
    if (H5Iget_type(opened.get()) != H5I_DATASET) fail(path, name, "a dataset", "a group");
    return opened;
  }

  Handle open_attribute(const std::string& object, const std::string& name) const {
    const Handle owner = open_object(object);
    Handle attribute(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
    if (!attribute.valid()) fail(path, object, "an attribute " + name, "none");
    const Handle space(H5Aget_space(attribute.get()), H5Sclose);
    if (!space.valid() || H5Sget_simple_extent_npoints(space.get()) != 1) {
      fail(path, object + " attribute " + name, "one value", "several or none");
    }
    return attribute;
  }

  Shape shape_of(const std::string& name, hid_t dataset) const {
    const Handle space(H5Dget_space(dataset), H5Sclose);
    const int rank = space.valid() ? H5Sget_simple_extent_ndims(space.get()) : -1;
    if (rank < 0) fail(path, name, "a shape", last_message());
    std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
    if (H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr) < 0) {
      fail(path, name, "a shape", last_message());
    }
    double elements = 1;
    for (const hsize_t dim : dims) elements *= static_cast<double>(dim);
    if (!(elements <= largest_compression * file_bytes)) {
      fail(path, name, "a shape that fits a file of this size",
           std::to_string(elements) + " elements");
    }
    return {dims.begin(), dims.end()};
  }
};

Reader::Reader(std::filesystem::path path) : state_(std::make_unique<State>()) {
  switch_off_error_printing();
  state_->path = std::move(path);
  std::error_code error;
  state_->file_bytes = static_cast<double>(std::filesystem::file_size(state_->path, error));
  if (error) fail(state_->path, "", "a file", error.message());
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // A reader locks nothing, so that goldens on a read-only or network file system can be read.
  if (!access.valid() || H5Pset_file_locking(access.get(), false, true) < 0) {
    fail(state_->path, "", "to open it", last_message());
  }
  Handle file(H5Fopen(state_->path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!file.valid()) fail(state_->path, "", "a whole HDF5 file", last_message());
  state_->file = std::move(file);
}

Reader::~Reader() = default;

const std::filesystem::path& Reader::path() const { return state_->path; }

bool Reader::exists(const std::string& object) const {
  // H5Lexists wants every step of the path to exist.
  for (std::size_t end = object.find('/', 1);; end = object.find('/', end + 1)) {
    const std::string step = object.substr(0, end);
    const htri_t found = step == "/" ? 1 : H5Lexists(state_->file.get(), step.c_str(), H5P_DEFAULT);
    if (found < 0) fail(path(), object, "groups that can be searched", last_message());
    if (found == 0) return false;
    if (end == std::string::npos) return true;
  }
}

bool Reader::is_group(const std::string& object) const {
  return H5Iget_type(state_->open_object(object).get()) == H5I_GROUP;
}

std::vector<std::string> Reader::members(const std::string& group) const {
  const Handle opened = state_->open_object(group);
  if (H5Iget_type(opened.get()) != H5I_GROUP) fail(path(), group, "a group", "a dataset");
  struct Visit {
    std::vector<std::string> names;
    std::string foreign;
  } visit;
  const herr_t status = H5Literate(
      opened.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5L_info_t* info, void* out) -> herr_t {
        auto& seen = *static_cast<Visit*>(out);
        seen.names.emplace_back(name);
        if (info->type != H5L_TYPE_HARD) seen.foreign = name;
        return 0;
      },
      &visit);
  if (status < 0) fail(path(), group, "a group that can be listed", last_message());
  if (!visit.foreign.empty()) {
    fail(path(), group, "groups and datasets of this file", "a link named " + visit.foreign);
  }
  std::sort(visit.names.begin(), visit.names.end());
  return visit.names;
}

bool Reader::has_attribute(const std::string& object, const std::string& name) const {
  const Handle owner = state_->open_object(object);
  const htri_t found = H5Aexists(owner.get(), name.c_str());
  if (found < 0) fail(path(), object, "attributes that can be searched", last_message());
  return found > 0;
}

std::string Reader::text(const std::string& object, const std::string& name) const {
  const Handle attribute = state_->open_attribute(object, name);
  const std::string what = object + " attribute " + name;
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (!type.valid() || H5Tget_class(type.get()) != H5T_STRING) {
    fail(path(), what, "text", type.valid() ? type_words(type.get()) : last_message());
  }
  if (H5Tis_variable_str(type.get()) > 0) {
    const Handle memory(H5Tcopy(H5T_C_S1), H5Tclose);
    char* characters = nullptr;
    if (H5Tset_size(memory.get(), H5T_VARIABLE) < 0 ||
        H5Tset_cset(memory.get(), H5Tget_cset(type.get())) < 0 ||
        H5Aread(attribute.get(), memory.get(), &characters) < 0) {
      fail(path(), what, "text", last_message());
    }
    std::string value = characters ? characters : "";
    H5free_memory(characters);
    return value;
  }
  const std::size_t size = H5Tget_size(type.get());
  if (!(static_cast<double>(size) <= state_->file_bytes)) {
    fail(path(), what, "text that fits the file", std::to_string(size) + " characters");
  }
  std::string value(size, '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0) {
    fail(path(), what, "text", last_message());
  }
  value.resize(std::min(value.find('\0'), value.size()));
  return value;
}

std::uint64_t Reader::integer(const std::string& object, const std::string& name) const {
  const Handle attribute = state_->open_attribute(object, name);
  const std::string what = object + " attribute " + name;
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (!type.valid() || H5Tget_class(type.get()) != H5T_INTEGER) {
    fail(path(), what, "an integer", type.valid() ? type_words(type.get()) : last_message());
  }
  std::uint64_t value = 0;
  std::int64_t with_sign = 0;
  if (H5Aread(attribute.get(), H5T_NATIVE_UINT64, &value) < 0 ||
      H5Aread(attribute.get(), H5T_NATIVE_INT64, &with_sign) < 0) {
    fail(path(), what, "an integer", last_message());
  }
  if (with_sign < 0) fail(path(), what, "an integer >= 0", std::to_string(with_sign));
  return value;
}

std::optional<DType> Reader::dtype(const std::string& dataset) const {
  if (!has_attribute(dataset, "dtype")) return std::nullopt;
  const std::string word = text(dataset, "dtype");
  try {
    return dtype_of(word);
  } catch (const InputError&) {
    fail(path(), dataset + " attribute dtype", "one of bf16, fp32, fp64, int32, uint16, e4m3, e5m2",
         word);
  }
}

Shape Reader::shape(const std::string& dataset) const {
  return state_->shape_of(dataset, state_->open_dataset(dataset).get());
}

Tensor<double> Reader::tensor(const std::string& name) const {
  const Handle dataset = state_->open_dataset(name);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const H5T_class_t kind = type.valid() ? H5Tget_class(type.get()) : H5T_NO_CLASS;
  if (kind != H5T_FLOAT && kind != H5T_INTEGER) {
    fail(path(), name, "numbers", type.valid() ? type_words(type.get()) : last_message());
  }
  Tensor<double> tensor(state_->shape_of(name, dataset.get()));
  if (tensor.size() > 0 && H5Dget_storage_size(dataset.get()) == 0) {
    fail(path(), name, "data", "none stored");
  }
  if (tensor.size() > 0 &&
      H5Dread(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.data()) < 0) {
    fail(path(), name, "data that agree with their checksums", last_message());
  }
  return tensor;
}

Array Reader::array(const std::string& name) const {
  const Handle dataset = state_->open_dataset(name);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const bool stored_float = H5Tget_class(type.get()) == H5T_FLOAT;
  const DType natural =
      !stored_float
          ? (H5Tget_size(type.get()) == 2 && H5Tget_sign(type.get()) == H5T_SGN_NONE ? DType::uint16
                                                                                     : DType::int32)
      : H5Tget_size(type.get()) <= 4 ? DType::fp32
                                     : DType::fp64;
  const DType wanted = dtype(name).value_or(natural);
  if (is_float(wanted) != stored_float) {
    fail(path(), name,
         std::string(is_float(wanted) ? "floats" : "integers") + " for dtype " +
             std::string(name_of(wanted)),
         type_words(type.get()));
  }
  const Tensor<double> values = tensor(name);
  Array array(wanted, values.shape());
  const auto [low, high] =
      wanted == DType::uint16 ? std::pair(0.0, 65535.0) : std::pair(-2147483648.0, 2147483647.0);
  for (Index i = 0; i < values.size(); ++i) {
    const bool fits = is_float(wanted) || (values[i] >= low && values[i] <= high);
    if (fits) array.set(i, values[i]);
    if (!fits || (array.at(i) != values[i] && !std::isnan(values[i]))) {
      fail(path(), name, "values of " + std::string(name_of(wanted)),
           std::to_string(values[i]) + " at " + position(i, values.shape()));
    }
  }
  return array;
}

}  // namespace pairedhead::hdf5
