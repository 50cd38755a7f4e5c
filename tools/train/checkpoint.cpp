#include "tools/train/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "golden/hdf5_file.h"

namespace pairedhead {
namespace {

using reference::AdamMoments;
using reference::Config;
using reference::NormuonState;
using reference::ParameterInfo;
using reference::ParameterSet;
using reference::TrainerSettings;
using reference::TrainerState;

constexpr const char* kind = "pairedhead checkpoint 1";

// All that makes a state one configuration's: equal text, equal meaning.
std::string config_text(const Config& c) {
  std::string layers;
  for (const reference::LayerConfig& layer : c.layers) {
    layers += fmt::format(" {}{}{}{}{}", layer.attention ? 'a' : '-', layer.paired ? 'p' : '-',
                          layer.long_window ? 'l' : '-', layer.shift_keys ? 's' : '-',
                          layer.value_embedding ? std::to_string(*layer.value_embedding) : "-");
  }
  const reference::ScheduleSettings& s = c.schedule;
  return fmt::format(
      "{} C={} H={} D={} F={} V={} bos={} ve={} skip={}-{} backout={} pairing={} document={} "
      "steps={}+{} batches={} T={} windows={},{},{} unit={} momentum={},{} layers={}",
      c.name, c.width, c.heads, c.head_dim, c.hidden, c.vocabulary, c.bos, c.value_embeddings,
      c.skip_from, c.skip_to, c.backout_from, static_cast<int>(c.pairing), c.max_document,
      s.scheduled, s.extension, s.micro_batches, fmt::join(s.sequence, ","),
      fmt::join(s.long_window, ","), s.extension_window, s.final_window, s.window_unit,
      s.momentum_warm_up, s.momentum_cool_down, layers);
}

std::string storage_word(reference::Storage storage) {
  return storage == reference::Storage::exact ? "exact" : "as defined";
}

DType stored_dtype(const std::vector<ParameterInfo>& table, const std::string& name) {
  for (const ParameterInfo& info : table) {
    if (info.name == name) return info.dtype;
  }
  return DType::fp64;
}

Array mantissa_array(const std::vector<std::uint16_t>& mantissa) {
  Array array(DType::uint16, {static_cast<Index>(mantissa.size())});
  std::copy(mantissa.begin(), mantissa.end(), array.as<std::uint16_t>());
  return array;
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what,
                       const std::string& expected, const std::string& got) {
  throw InputError(fmt::format("{}: {}: expected {}, got {}", path.string(), what, expected, got));
}

void require_text(const hdf5::Reader& file, const std::string& name, const std::string& expected) {
  const std::string got = file.text("/", name);
  if (got != expected) fail(file.path(), name, "\"" + expected + "\"", "\"" + got + "\"");
}

Index index_attribute(const hdf5::Reader& file, const std::string& object,
                      const std::string& name) {
  const std::uint64_t value = file.integer(object, name);
  if (value > (std::uint64_t{1} << 62)) {
    fail(file.path(), name, "a number that fits", std::to_string(value));
  }
  return static_cast<Index>(value);
}

Tensor<double> tensor_of(const hdf5::Reader& file, const std::string& name, const Shape& shape) {
  const Shape stored = file.shape(name);
  if (stored != shape) {
    fail(file.path(), name, "shape " + to_string(shape), to_string(stored));
  }
  return file.tensor(name);
}

NormuonState read_normuon(const hdf5::Reader& file, const ParameterInfo& info) {
  const std::string group = "normuon/" + info.name;
  NormuonState state;
  state.moment = tensor_of(file, group + "/moment", info.shape);
  state.second_moment = tensor_of(file, group + "/second_moment", {info.shape[0]});
  const Array mantissa = file.array(group + "/mantissa");
  if (mantissa.dtype != DType::uint16 ||
      (mantissa.size() != 0 && mantissa.size() != element_count(info.shape))) {
    fail(file.path(), group + "/mantissa",
         std::to_string(element_count(info.shape)) + " values of uint16",
         fmt::format("{} of {}", mantissa.size(), name_of(mantissa.dtype)));
  }
  state.mantissa.assign(mantissa.as<std::uint16_t>(),
                        mantissa.as<std::uint16_t>() + mantissa.size());
  return state;
}

AdamMoments read_adam(const hdf5::Reader& file, const ParameterInfo& info) {
  const std::string group = "adam/" + info.name;
  return {tensor_of(file, group + "/first", info.shape),
          tensor_of(file, group + "/second", info.shape), index_attribute(file, group, "updates")};
}

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const TrainerState& state,
                      const TrainerSettings& settings, const RunIdentity& run) {
  const auto table = reference::parameter_table(settings.config, settings.ranks);
  // Random mantissas do not deflate, and a save should not take longer than a step.
  hdf5::Writer file(path, hdf5::Compression::none);
  const auto number = [&](const char* name, Index value) {
    file.attribute("/", name, static_cast<std::uint64_t>(value));
  };
  file.attribute("/", "kind", std::string(kind));
  file.attribute("/", "configuration", config_text(settings.config));
  file.attribute("/", "storage", storage_word(settings.storage));
  file.attribute("/", "data", run.data);
  number("ranks", settings.ranks);
  number("step", state.step);
  number("split", state.split ? 1 : 0);
  number("long_blocks", state.long_blocks);
  number("shards", state.position.shards);
  number("document", state.position.document);

  file.group("parameters");
  for (const auto& [name, tensor] : state.parameters) {
    file.dataset("parameters/" + name, tensor, stored_dtype(table, name));
  }
  file.group("normuon");
  for (const auto& [name, normuon] : state.normuon) {
    file.group("normuon/" + name);
    file.dataset("normuon/" + name + "/moment", normuon.moment, DType::fp32);
    file.dataset("normuon/" + name + "/second_moment", normuon.second_moment, DType::fp32);
    file.dataset("normuon/" + name + "/mantissa", mantissa_array(normuon.mantissa));
  }
  file.group("adam");
  for (const auto& [name, moments] : state.adam) {
    file.group("adam/" + name);
    file.attribute("adam/" + name, "updates", static_cast<std::uint64_t>(moments.updates));
    file.dataset("adam/" + name + "/first", moments.first, DType::fp32);
    file.dataset("adam/" + name + "/second", moments.second, DType::fp32);
  }
  file.group("pending");
  for (std::size_t rank = 0; rank < state.pending.size(); ++rank) {
    const std::string group = "pending/" + std::to_string(rank);
    file.group(group);
    for (const auto& [name, gradient] : state.pending[rank]) {
      file.dataset(group + "/" + name, gradient, stored_dtype(table, name));
    }
  }
  file.group("rotary");
  const auto& frequency = state.rotary.frequency;
  Array frequencies(DType::fp32, {static_cast<Index>(frequency.size())});
  std::copy(frequency.begin(), frequency.end(), frequencies.as<float>());
  file.dataset("rotary/frequency", frequencies);
  file.dataset("rotary/softmax_scale", Tensor<double>({1}, state.rotary.softmax_scale),
               DType::fp64);
  file.commit();
}

TrainerState read_checkpoint(const std::filesystem::path& path, const TrainerSettings& settings,
                             const RunIdentity& run) {
  const hdf5::Reader file(path);
  require_text(file, "kind", kind);
  require_text(file, "configuration", config_text(settings.config));
  require_text(file, "storage", storage_word(settings.storage));
  require_text(file, "data", run.data);
  if (index_attribute(file, "/", "ranks") != settings.ranks) {
    fail(path, "ranks", std::to_string(settings.ranks),
         std::to_string(index_attribute(file, "/", "ranks")));
  }
  const auto table = reference::parameter_table(settings.config, settings.ranks);
  TrainerState state = start_training(settings, read_weights(path, table));
  state.step = index_attribute(file, "/", "step");
  state.split = index_attribute(file, "/", "split") != 0;
  state.long_blocks = index_attribute(file, "/", "long_blocks");
  state.position = {index_attribute(file, "/", "shards"), index_attribute(file, "/", "document")};
  for (const ParameterInfo& info : table) {
    if (info.optimizer == reference::Optimizer::normuon) {
      state.normuon[info.name] = read_normuon(file, info);
    } else if (file.exists("adam/" + info.name)) {
      state.adam[info.name] = read_adam(file, info);
    }
    for (std::size_t rank = 0; rank < state.pending.size(); ++rank) {
      const std::string name = fmt::format("pending/{}/{}", rank, info.name);
      if (!file.exists(name)) continue;
      state.pending[rank][info.name] = tensor_of(file, name, info.shape);
    }
  }
  const Index width = settings.config.head_dim;
  const Tensor<double> frequency = tensor_of(file, "rotary/frequency", {width});
  for (Index d = 0; d < width; ++d) {
    state.rotary.frequency[static_cast<std::size_t>(d)] = static_cast<float>(frequency[d]);
  }
  state.rotary.softmax_scale = tensor_of(file, "rotary/softmax_scale", {1})[0];
  return state;
}

ParameterSet<double> read_weights(const std::filesystem::path& path,
                                  const std::vector<ParameterInfo>& table) {
  const hdf5::Reader file(path);
  ParameterSet<double> weights;
  for (const ParameterInfo& info : table) {
    const std::string name = "parameters/" + info.name;
    if (!file.exists(name)) {
      fail(path, name, "a tensor of shape " + to_string(info.shape), "none");
    }
    Tensor<double> tensor = tensor_of(file, name, info.shape);
    for (Index i = 0; i < tensor.size(); ++i) {
      if (!std::isfinite(tensor[i])) {
        fail(path, name + hdf5::position(i, info.shape), "a finite value",
             std::to_string(tensor[i]));
      }
    }
    weights.emplace(info.name, std::move(tensor));
  }
  return weights;
}

}  // namespace pairedhead
