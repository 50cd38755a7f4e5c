#include "tools/golden/golden_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "tools/components/record_shapes.h"
#include "tools/verdict/error_scale.h"

namespace pairedhead {

namespace fs = std::filesystem;

GoldenCase reference_case(const Component& component, const Parameters& parameters,
                          std::uint64_t seed, const std::string& name) {
  component.check(parameters);
  GoldenCase golden;
  golden.name = name;
  golden.component = component.name;
  golden.origin = "reference";
  golden.parameters = parameters.text();
  golden.seed = seed;
  golden.inputs = component.inputs(parameters, seed);
  Truth truth = truth_of(component, parameters, golden.inputs, seed);
  for (const OutputRow& row : component.outputs) golden.dtypes[row.key()] = row.dtype;
  golden.values = std::move(truth.exact);
  golden.scale = std::move(truth.scale);
  // More digits of a scale say nothing, and random ones do not compress.
  for (auto& [key, sigma] : golden.scale) {
    for (double& value : sigma.values()) value = static_cast<double>(static_cast<float>(value));
  }
  return golden;
}

std::vector<Parameters> small_edges(const Component& component, Index most_values) {
  std::vector<Parameters> chosen;
  const Parameters* smallest = nullptr;
  Index fewest = std::numeric_limits<Index>::max();
  for (const Parameters& edge : component.edges) {
    Index count = 0;
    const Values values = component.reference(edge, component.inputs(edge, 1), Rounding::exact());
    bool finite = true;
    for (const auto& [key, tensor] : values) {
      count += tensor.size();
      for (const double value : tensor.values()) finite = finite && std::isfinite(value);
    }
    if (!finite) continue;  // files hold finite values only
    if (count < fewest) {
      fewest = count;
      smallest = &edge;
    }
    if (count <= most_values) chosen.push_back(edge);
  }
  if (chosen.empty() && smallest != nullptr) chosen.push_back(*smallest);
  return chosen;
}

Parameters setting_of_size(const Component& component, Index tokens, std::uint64_t seed) {
  // The largest of the record's shapes that is no larger, else its smallest, with T in its place.
  std::optional<RecordShape> nearest;
  for (const RecordShape& shape : record_shapes()) {
    if (shape.component() == component.name && (!nearest || shape.tokens <= tokens))
      nearest = shape;
  }
  if (nearest) {
    if (nearest->tokens != tokens) nearest->entries = 0;
    nearest->tokens = tokens;
    return record_parameters(*nearest, typical_documents(tokens, seed));
  }
  if (component.edges.empty() || !component.edges.back().has("T")) {
    throw InputError(fmt::format("--T: component {} has no number of tokens", component.name));
  }
  Parameters parameters = component.edges.back();
  parameters.set("T", tokens);
  if (parameters.has("documents")) {
    parameters.set("documents", typical_documents(tokens, seed));
  }
  return parameters;
}

std::vector<fs::path> golden_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_regular_file() && entry->path().extension() == ".h5") {
      files.push_back(entry->path());
    }
  }
  if (error) {
    throw InputError(fmt::format("golden: expected a folder of goldens at {}, got: {}",
                                 folder.string(), error.message()));
  }
  if (files.empty()) {
    throw InputError(
        fmt::format("golden: expected files *.h5 under {}, got none", folder.string()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace pairedhead
