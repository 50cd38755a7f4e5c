#include <algorithm>
#include <cmath>
#include <utility>

#include "golden/hdf5_file.h"
#include "golden/hdf5_library.h"

namespace pairedhead::hdf5 {

namespace {

// Deflate cannot shrink further than this, so a dataset that claims more bytes than this many times
// its file's is damaged; asked before memory is.
constexpr double largest_compression = 1100;

bool is_float(DType dtype) { return dtype != DType::int32 && dtype != DType::uint16; }

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

bool is_uint16(hid_t type) {
  return H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == 2 &&
         H5Tget_sign(type) == H5T_SGN_NONE;
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
  if (is_uint16(type.get()) && dtype(name) == DType::bf16) {
    for (double& value : tensor.values()) {
      value = from_bf16_bits(static_cast<std::uint16_t>(value));
    }
  }
  return tensor;
}

void Reader::bits(const std::string& name, DType wanted, const Shape& shape, void* to) const {
  const Handle dataset = state_->open_dataset(name);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const bool wide = wanted == DType::fp32;
  const bool stored = wide ? H5Tget_class(type.get()) == H5T_FLOAT && H5Tget_size(type.get()) == 4
                           : is_uint16(type.get());
  const std::optional<DType> attribute = dtype(name);
  if (!stored || attribute != wanted) {
    fail(path(), name, std::string(name_of(wanted)),
         type_words(type.get()) + " for dtype " +
             (attribute ? std::string(name_of(*attribute)) : "of no name"));
  }
  if (const Shape got = state_->shape_of(name, dataset.get()); got != shape) {
    fail(path(), name, "shape " + to_string(shape), to_string(got));
  }
  if (element_count(shape) == 0) return;
  if (H5Dget_storage_size(dataset.get()) == 0) fail(path(), name, "data", "none stored");
  if (H5Dread(dataset.get(), wide ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL,
              H5P_DEFAULT, to) < 0) {
    fail(path(), name, "data that agree with their checksums", last_message());
  }
}

Array Reader::array(const std::string& name) const {
  const Handle dataset = state_->open_dataset(name);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const bool halves = is_uint16(type.get());
  const bool stored_float =
      H5Tget_class(type.get()) == H5T_FLOAT || (halves && dtype(name) == DType::bf16);
  const DType natural = !stored_float                  ? (halves ? DType::uint16 : DType::int32)
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
