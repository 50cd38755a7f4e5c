#include "golden/golden_file.h"

#include <cmath>
#include <set>
#include <sstream>

#include "golden/hdf5_file.h"
#include "golden/rehearsal.h"
#include "reference/spec_version.h"

namespace pairedhead {
namespace {

using hdf5::Reader;
using hdf5::Writer;

// Far fewer than any machine reads, so that only a library that hangs takes longer.
constexpr std::uintmax_t bytes_read_a_second = 1 << 20;
constexpr const char* program_version = "pairedhead " PAIREDHEAD_VERSION;
const std::set<std::string> origins = {"reference", "oracle", "record"};
const std::set<std::string> reserved = {"component", "origin",       "parameters",
                                        "seed",      "spec_version", "created_by"};

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& object,
                       const std::string& expected, const std::string& got) {
  throw InputError(file.string() + ": " + object + ": expected " + expected + ", got " + got);
}

template <class Values>
void require_finite(const std::filesystem::path& file, const std::string& object,
                    const Values& values, const Shape& shape) {
  for (Index i = 0; i < element_count(shape); ++i) {
    const double value = values(i);
    if (!std::isfinite(value)) {
      fail(file, object, "finite values",
           std::to_string(value) + " at " + hdf5::position(i, shape));
    }
  }
}

void require_finite(const std::filesystem::path& file, const std::string& object,
                    const Array& array) {
  require_finite(
      file, object, [&](Index i) { return array.at(i); }, array.shape);
}

void require_finite(const std::filesystem::path& file, const std::string& object,
                    const Tensor<double>& tensor) {
  require_finite(
      file, object, [&](Index i) { return tensor[i]; }, tensor.shape());
}

// A name that is one step of a path.
void require_name(const std::filesystem::path& file, const std::string& what,
                  const std::string& name) {
  if (name.empty() || name == "." || name.find('/') != std::string::npos) {
    fail(file, what, "a name without /", "\"" + name + "\"");
  }
}

// "outputs/y" or "grads/q" (or "inputs/q" where allowed): a folder of the schema and one name.
void require_key(const std::filesystem::path& file, const std::string& group,
                 const std::string& key, const std::set<std::string>& folders) {
  const std::size_t slash = key.find('/');
  if (slash == std::string::npos || folders.count(key.substr(0, slash)) == 0) {
    fail(file, group, "keys such as " + *folders.rbegin() + "/y", key);
  }
  require_name(file, group + "/" + key, key.substr(slash + 1));
}

// Values whose shape another dataset fixes: sigma by its value, the gradient of x by x, the
// incoming gradient of y by y.
void require_same_shape(const std::filesystem::path& file, const std::string& object,
                        const Shape& shape, const std::string& other, const Shape& expected) {
  if (shape != expected) {
    fail(file, object, "the shape of " + other + ", " + to_string(expected), to_string(shape));
  }
}

// What makes a case a case, whoever wrote it.
void check(const std::filesystem::path& file, const GoldenCase& golden) {
  require_name(file, "a case", golden.name);
  const std::string& group = golden.name;
  if (origins.count(golden.origin) == 0) {
    fail(file, group + " attribute origin", "reference, oracle or record",
         "\"" + golden.origin + "\"");
  }
  for (const auto& [name, array] : golden.inputs) {
    require_name(file, group + "/inputs", name);
    require_finite(file, group + "/inputs/" + name, array);
    if (!name.starts_with("grad_")) continue;
    const auto output = golden.values.find("outputs/" + name.substr(5));
    if (output != golden.values.end()) {
      require_same_shape(file, group + "/inputs/" + name, array.shape, output->first,
                         output->second.shape());
    }
  }
  for (const auto& [key, value] : golden.values) {
    require_key(file, group, key, {"outputs", "grads"});
    require_finite(file, group + "/" + key, value);
    if (key.starts_with("grads/")) {
      const auto input = golden.inputs.find(key.substr(6));
      if (input == golden.inputs.end()) {
        fail(file, group + "/" + key, "the dataset inputs/" + key.substr(6) + " beside it", "none");
      }
      require_same_shape(file, group + "/" + key, value.shape(), "inputs/" + input->first,
                         input->second.shape);
    }
  }
  for (const auto& [key, sigma] : golden.scale) {
    const auto value = golden.values.find(key);
    if (value == golden.values.end()) {
      fail(file, group + "/scale/" + key, "the dataset " + key + " beside it", "none");
    }
    require_same_shape(file, group + "/scale/" + key, sigma.shape(), key, value->second.shape());
    require_finite(file, group + "/scale/" + key, sigma);
  }
}

// Each parameter once more as an attribute of its own, so that h5py need not parse: integers (also
// in lists, "3,1,44") as int64, the rest as text.
void write_parameters(Writer& writer, const std::filesystem::path& file, const std::string& group,
                      const std::string& parameters) {
  std::istringstream words(parameters);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      fail(file, group + " attribute parameters", "NAME=VALUE", word);
    }
    const std::string name = word.substr(0, equals);
    const std::string value = word.substr(equals + 1);
    if (reserved.count(name) != 0) {
      fail(file, group, "no parameter with the name of an attribute of the schema", name);
    }
    std::vector<std::int64_t> integers;
    std::istringstream items(value);
    bool all_integers = !value.empty();
    for (std::string item; all_integers && std::getline(items, item, ',');) {
      std::size_t used = 0;
      try {
        integers.push_back(std::stoll(item, &used));
      } catch (const std::logic_error&) {
      }
      all_integers = used == item.size() && used > 0;
    }
    if (all_integers) {
      writer.attribute(group, name, integers);
    } else {
      writer.attribute(group, name, value);
    }
  }
}

// Creates the folders of a key on first use.
class Folders {
 public:
  explicit Folders(Writer& writer) : writer_(writer) {}
  void ensure(const std::string& dataset) {
    for (std::size_t slash = dataset.find('/'); slash != std::string::npos;
         slash = dataset.find('/', slash + 1)) {
      if (made_.insert(dataset.substr(0, slash)).second) writer_.group(dataset.substr(0, slash));
    }
  }

 private:
  Writer& writer_;
  std::set<std::string> made_;
};

void write_case(Writer& writer, const std::filesystem::path& file, const GoldenCase& golden) {
  const std::string& group = golden.name;
  Folders folders(writer);
  folders.ensure(group + "/");
  writer.attribute(group, "component", golden.component);
  writer.attribute(group, "origin", golden.origin);
  writer.attribute(group, "parameters", golden.parameters);
  writer.attribute(group, "seed", golden.seed);
  writer.attribute(group, "spec_version", std::string(spec_version));
  writer.attribute(group, "created_by", program_version);
  write_parameters(writer, file, group, golden.parameters);
  for (const auto& [name, array] : golden.inputs) {
    const std::string path = group + "/inputs/" + name;
    folders.ensure(path);
    writer.dataset(path, array);
  }
  for (const auto& [key, value] : golden.values) {
    const std::string path = group + "/" + key;
    const auto dtype = golden.dtypes.find(key);
    folders.ensure(path);
    writer.dataset(path, value, dtype == golden.dtypes.end() ? DType::fp64 : dtype->second);
  }
  for (const auto& [key, sigma] : golden.scale) {
    const std::string path = group + "/scale/" + key;
    folders.ensure(path);
    writer.dataset(path, sigma, DType::fp64);
  }
}

// Names of the datasets in an optional folder of a case.
std::vector<std::string> datasets(const Reader& reader, const std::string& folder) {
  return reader.exists(folder) ? reader.members(folder) : std::vector<std::string>{};
}

GoldenCase read_case(const Reader& reader, const std::string& group) {
  GoldenCase golden;
  golden.name = group;
  golden.component = reader.text(group, "component");
  golden.origin = reader.text(group, "origin");
  golden.parameters = reader.text(group, "parameters");
  golden.seed = reader.integer(group, "seed");
  golden.spec_version = reader.text(group, "spec_version");
  golden.created_by = reader.text(group, "created_by");
  for (const std::string& name : datasets(reader, group + "/inputs")) {
    const std::string path = group + "/inputs/" + name;
    if (!reader.dtype(path)) fail(reader.path(), path, "an attribute dtype", "none");
    golden.inputs[name] = reader.array(path);
  }
  for (const std::string folder : {"outputs", "grads"}) {
    for (const std::string& name : datasets(reader, group + "/" + folder)) {
      const std::string key = folder + "/" + name;
      const std::optional<DType> dtype = reader.dtype(group + "/" + key);
      if (!dtype) fail(reader.path(), group + "/" + key, "an attribute dtype", "none");
      golden.values[key] = reader.tensor(group + "/" + key);
      golden.dtypes[key] = *dtype;
    }
    for (const std::string& name : datasets(reader, group + "/scale/" + folder)) {
      const std::string key = folder + "/" + name;
      golden.scale[key] = reader.tensor(group + "/scale/" + key);
    }
  }
  if (golden.values.empty()) {
    fail(reader.path(), group, "datasets under outputs or grads", "none");
  }
  check(reader.path(), golden);
  return golden;
}

std::vector<std::string> group_names(const Reader& reader) {
  std::vector<std::string> names = reader.members("/");
  for (const std::string& name : names) {
    if (!reader.is_group(name)) fail(reader.path(), name, "a group, one a case", "a dataset");
  }
  return names;
}

BatchCase read_batch_case(const Reader& reader, const std::string& name) {
  BatchCase batch;
  batch.name = name;
  if (reader.has_attribute(name, "component")) batch.component = reader.text(name, "component");
  if (reader.has_attribute(name, "parameters")) batch.parameters = reader.text(name, "parameters");
  if (reader.has_attribute(name, "seed")) batch.seed = reader.integer(name, "seed");
  for (const std::string folder : {"inputs", "outputs", "grads"}) {
    for (const std::string& dataset : datasets(reader, name + "/" + folder)) {
      const std::string key = folder + "/" + dataset;
      Array array = reader.array(name + "/" + key);
      if (folder == "inputs") require_finite(reader.path(), name + "/" + key, array);
      batch.arrays[key] = std::move(array);
    }
  }
  return batch;
}

std::vector<GoldenCase> read_cases(const Reader& reader) {
  std::vector<GoldenCase> cases;
  for (const std::string& name : group_names(reader)) cases.push_back(read_case(reader, name));
  return cases;
}

std::vector<BatchCase> read_batch_cases(const Reader& reader) {
  std::vector<BatchCase> cases;
  for (const std::string& name : group_names(reader)) {
    cases.push_back(read_batch_case(reader, name));
  }
  return cases;
}

// What `read` makes of the file, unless reading it crashes.
template <auto read>
auto read_rehearsed(const std::filesystem::path& path) {
  std::error_code absent;
  const std::uintmax_t bytes = std::filesystem::file_size(path, absent);
  const int seconds = 2 + (absent ? 0 : static_cast<int>(bytes / bytes_read_a_second));
  const auto rehearsal = [](const std::filesystem::path& file) { read(Reader(file)); };
  if (!survives(rehearsal, path, seconds)) {
    throw InputError(path.string() +
                     ": expected a whole HDF5 file, got one that the HDF5 library crashes on");
  }
  return read(Reader(path));
}

}  // namespace

void write_golden(const std::filesystem::path& path, const std::vector<GoldenCase>& cases) {
  for (const GoldenCase& golden : cases) check(path, golden);
  Writer writer(path);
  for (const GoldenCase& golden : cases) write_case(writer, path, golden);
  writer.commit();
}

std::vector<GoldenCase> read_golden(const std::filesystem::path& path) {
  return read_rehearsed<read_cases>(path);
}

std::vector<std::string> list_golden(const std::filesystem::path& path) {
  return read_rehearsed<group_names>(path);
}

void write_batch(const std::filesystem::path& path, const std::vector<BatchCase>& cases) {
  Writer writer(path);
  for (const BatchCase& batch : cases) {
    require_name(path, "a case", batch.name);
    Folders folders(writer);
    folders.ensure(batch.name + "/");
    writer.attribute(batch.name, "component", batch.component);
    writer.attribute(batch.name, "parameters", batch.parameters);
    writer.attribute(batch.name, "seed", batch.seed);
    write_parameters(writer, path, batch.name, batch.parameters);
    for (const auto& [key, array] : batch.arrays) {
      require_key(path, batch.name, key, {"inputs", "outputs", "grads"});
      folders.ensure(batch.name + "/" + key);
      writer.dataset(batch.name + "/" + key, array);
    }
  }
  writer.commit();
}

std::vector<BatchCase> read_batch(const std::filesystem::path& path) {
  return read_rehearsed<read_batch_cases>(path);
}

}  // namespace pairedhead
