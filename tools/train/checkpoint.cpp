#include "tools/train/checkpoint.h"

#include <fmt/format.h>

#include <cmath>

#include "golden/hdf5_file.h"
#include "tools/train/finite_state.h"

namespace pairedhead {
namespace {

using reference::AdamMoments;
using reference::NormuonState;
using reference::ParameterInfo;
using reference::ParameterSet;
using reference::TrainerSettings;
using reference::TrainerState;

RunWords words_of(const TrainerSettings& settings, const RunIdentity& run) {
  RunWords words = run_words("pairedhead checkpoint 1", settings.config, run);
  words.emplace_back("storage",
                     settings.storage == reference::Storage::exact ? "exact" : "as defined");
  return words;
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

NormuonState read_normuon(const hdf5::Reader& file, const ParameterInfo& info) {
  const std::string group = "normuon/" + info.name;
  NormuonState state;
  state.moment = tensor_of(file, group + "/moment", info.shape);
  state.second_moment = tensor_of(file, group + "/second_moment", {info.shape[0]});
  const Array mantissa = file.array(group + "/mantissa");
  if (mantissa.dtype != DType::uint16 ||
      (mantissa.size() != 0 && mantissa.size() != element_count(info.shape))) {
    refuse_checkpoint(file, group + "/mantissa",
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
  write_header(file, words_of(settings, run),
               {state.step, state.split, state.long_blocks, state.position, state.rotary});
  file.attribute("/", "ranks", static_cast<std::uint64_t>(settings.ranks));

  const auto save = [&](const std::string& name, const Tensor<double>& tensor, DType dtype) {
    require_finite(state.step, name, tensor);
    file.dataset(name, tensor, dtype);
  };
  file.group("parameters");
  for (const auto& [name, tensor] : state.parameters) {
    save("parameters/" + name, tensor, stored_dtype(table, name));
  }
  file.group("normuon");
  for (const auto& [name, normuon] : state.normuon) {
    file.group("normuon/" + name);
    save("normuon/" + name + "/moment", normuon.moment, DType::fp32);
    save("normuon/" + name + "/second_moment", normuon.second_moment, DType::fp32);
    file.dataset("normuon/" + name + "/mantissa", mantissa_array(normuon.mantissa));
  }
  file.group("adam");
  for (const auto& [name, moments] : state.adam) {
    file.group("adam/" + name);
    file.attribute("adam/" + name, "updates", static_cast<std::uint64_t>(moments.updates));
    save("adam/" + name + "/first", moments.first, DType::fp32);
    save("adam/" + name + "/second", moments.second, DType::fp32);
  }
  file.group("pending");
  for (std::size_t rank = 0; rank < state.pending.size(); ++rank) {
    const std::string group = "pending/" + std::to_string(rank);
    file.group(group);
    for (const auto& [name, gradient] : state.pending[rank]) {
      save(group + "/" + name, gradient, stored_dtype(table, name));
    }
  }
  file.commit();
}

TrainerState read_checkpoint(const std::filesystem::path& path, const TrainerSettings& settings,
                             const RunIdentity& run) {
  const hdf5::Reader file(path);
  const CheckpointHeader header =
      read_header(file, words_of(settings, run), settings.config.head_dim);
  if (const Index ranks = index_attribute(file, "/", "ranks"); ranks != settings.ranks) {
    refuse_checkpoint(file, "ranks", std::to_string(settings.ranks), std::to_string(ranks));
  }
  const auto table = reference::parameter_table(settings.config, settings.ranks);
  TrainerState state = start_training(settings, read_weights(path, table));
  state.step = header.step;
  state.split = header.split;
  state.long_blocks = header.long_blocks;
  state.position = header.position;
  state.rotary = header.rotary;
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
  return state;
}

ParameterSet<double> read_weights(const std::filesystem::path& path,
                                  const std::vector<ParameterInfo>& table) {
  const hdf5::Reader file(path);
  ParameterSet<double> weights;
  for (const ParameterInfo& info : table) {
    const std::string name = "parameters/" + info.name;
    if (!file.exists(name)) {
      refuse_checkpoint(file, name, "a tensor of shape " + to_string(info.shape), "none");
    }
    Tensor<double> tensor = tensor_of(file, name, info.shape);
    for (Index i = 0; i < tensor.size(); ++i) {
      if (!std::isfinite(tensor[i])) {
        refuse_checkpoint(file, name + hdf5::position(i, info.shape), "a finite value",
                          std::to_string(tensor[i]));
      }
    }
    weights.emplace(info.name, std::move(tensor));
  }
  return weights;
}

void write_weights(const std::filesystem::path& path, const ParameterSet<double>& weights,
                   const std::vector<ParameterInfo>& table) {
  hdf5::Writer file(path, hdf5::Compression::none);
  file.group("parameters");
  for (const ParameterInfo& info : table) {
    file.dataset("parameters/" + info.name, to_array(weights.at(info.name), info.dtype));
  }
  file.commit();
}

}  // namespace pairedhead
