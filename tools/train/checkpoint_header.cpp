#include "tools/train/checkpoint_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace pairedhead {
namespace {

using reference::Config;

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

}  // namespace

RunWords run_words(const std::string& kind, const Config& config, const RunIdentity& run) {
  return {{"kind", kind}, {"configuration", config_text(config)}, {"data", run.data}};
}

void write_header(hdf5::Writer& file, const RunWords& words, const CheckpointHeader& header) {
  for (const auto& [name, word] : words) file.attribute("/", name, word);
  const auto number = [&](const char* name, Index value) {
    file.attribute("/", name, static_cast<std::uint64_t>(value));
  };
  number("step", header.step);
  number("split", header.split ? 1 : 0);
  number("long_blocks", header.long_blocks);
  number("shards", header.position.shards);
  number("document", header.position.document);
  file.group("rotary");
  const std::vector<float>& frequency = header.rotary.frequency;
  file.bits("rotary/frequency", DType::fp32, {static_cast<Index>(frequency.size())},
            frequency.data());
  file.dataset("rotary/softmax_scale", Tensor<double>({1}, header.rotary.softmax_scale),
               DType::fp64);
}

CheckpointHeader read_header(const hdf5::Reader& file, const RunWords& words, Index head_dim) {
  for (const auto& [name, word] : words) {
    const std::string got = file.text("/", name);
    if (got != word) refuse_checkpoint(file, name, "\"" + word + "\"", "\"" + got + "\"");
  }
  CheckpointHeader header;
  header.step = index_attribute(file, "/", "step");
  header.split = index_attribute(file, "/", "split") != 0;
  header.long_blocks = index_attribute(file, "/", "long_blocks");
  header.position = {index_attribute(file, "/", "shards"), index_attribute(file, "/", "document")};
  header.rotary.frequency.resize(static_cast<std::size_t>(head_dim));
  file.bits("rotary/frequency", DType::fp32, {head_dim}, header.rotary.frequency.data());
  header.rotary.softmax_scale = tensor_of(file, "rotary/softmax_scale", {1})[0];
  return header;
}

Index index_attribute(const hdf5::Reader& file, const std::string& object,
                      const std::string& name) {
  const std::uint64_t value = file.integer(object, name);
  if (value > (std::uint64_t{1} << 62)) {
    refuse_checkpoint(file, name, "a number that fits", std::to_string(value));
  }
  return static_cast<Index>(value);
}

Tensor<double> tensor_of(const hdf5::Reader& file, const std::string& name, const Shape& shape) {
  const Shape stored = file.shape(name);
  if (stored != shape) {
    refuse_checkpoint(file, name, "shape " + to_string(shape), to_string(stored));
  }
  return file.tensor(name);
}

void refuse_checkpoint(const hdf5::Reader& file, const std::string& what,
                       const std::string& expected, const std::string& got) {
  throw InputError(
      fmt::format("{}: {}: expected {}, got {}", file.path().string(), what, expected, got));
}

}  // namespace pairedhead
