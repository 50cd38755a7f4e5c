#include <algorithm>

#include "reference/document_packer.h"
#include "reference/shards.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

Tensor<double> to_values(const auto& integers) {
  Tensor<double> tensor({static_cast<Index>(integers.size())});
  for (Index i = 0; i < tensor.size(); ++i) {
    tensor[i] = static_cast<double>(integers[static_cast<std::size_t>(i)]);
  }
  return tensor;
}

Array from_tokens(const std::vector<std::uint16_t>& tokens) {
  Array array(DType::uint16, {static_cast<Index>(tokens.size())});
  std::copy(tokens.begin(), tokens.end(), array.as<std::uint16_t>());
  return array;
}

std::vector<std::uint16_t> to_tokens(const Array& array) {
  return {array.as<std::uint16_t>(), array.as<std::uint16_t>() + array.size()};
}

// Small vocabulary, so that a shard of a few hundred tokens has many documents.
constexpr Index bos = 50256;

std::vector<std::uint16_t> draw_tokens(Index count, Index mean_document, Random& random) {
  std::vector<std::uint16_t> tokens(static_cast<std::size_t>(count));
  for (std::uint16_t& token : tokens) {
    const bool starts = random.integer(1, mean_document) == 1;
    token = static_cast<std::uint16_t>(starts ? bos : random.integer(0, bos - 1));
  }
  tokens[0] = bos;
  return tokens;
}

Component shard_reader() {
  Component component = host_row("shard_reader", "SPEC §8", {"tokens"}, DType::uint16);
  component.draw = [](Random& random, double size) {
    return Parameters().set("tokens", random.integer(1, 1 + static_cast<Index>(size * 4000)));
  };
  component.edges = {Parameters::parse("tokens=1"), Parameters::parse("tokens=1000")};
  component.shrink = [](const Parameters& p) { return smaller_values(p, "tokens", 1); };
  component.check = [](const Parameters& p) { check_at_least(p, "tokens", 1); };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    Random random(seed);
    const auto bytes = reference::encode_shard(draw_tokens(p.integer("tokens"), 50, random));
    Array file(DType::uint16, {static_cast<Index>(bytes.size() / 2)});
    std::copy(bytes.begin(), bytes.end(), file.bytes.begin());
    return Arrays{{"file", file}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) {
    return Shape{p.integer("tokens")};
  };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    return Values{{"outputs/tokens", to_values(reference::parse_shard(arrays.at("file").bytes,
                                                                      "inputs/file", 50304))}};
  };
  return component;
}

Component document_packer() {
  Component component =
      host_row("document_packer", "SPEC §8", {"inputs", "targets", "cu_seqlens"}, DType::int32);
  component.draw = [](Random& random, double size) {
    return Parameters()
        .set("T", random.integer(1, 2 + static_cast<Index>(size * 118)))
        .set("sequences", random.integer(1, 4))
        .set("mean_document", random.integer(4, 60))
        .set("max_document", random.integer(2, 64));
  };
  component.edges = {Parameters::parse("T=1 sequences=1 mean_document=5 max_document=2"),
                     Parameters::parse("T=64 sequences=8 mean_document=20 max_document=16"),
                     Parameters::parse("T=256 sequences=2 mean_document=300 max_document=2048")};
  component.shrink = [](const Parameters& p) {
    auto smaller = smaller_values(p, "T", 1);
    const auto fewer = smaller_values(p, "sequences", 1);
    smaller.insert(smaller.end(), fewer.begin(), fewer.end());
    return smaller;
  };
  component.check = [](const Parameters& p) {
    for (const char* name : {"T", "sequences", "mean_document", "max_document"}) {
      check_at_least(p, name, 1);
    }
  };
  component.inputs = [](const Parameters& p, std::uint64_t seed) {
    // Long enough for every call, however much the cut of long documents discards.
    const Index tokens = (p.integer("T") + 1) * p.integer("sequences") *
                             (2 + 4 * p.integer("mean_document") / p.integer("max_document")) +
                         20 * p.integer("mean_document") + 200;
    Random random(seed);
    return Arrays{{"tokens", from_tokens(draw_tokens(tokens, p.integer("mean_document"), random))}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow& output) {
    const Index tokens = p.integer("T");
    return Shape{p.integer("sequences") *
                 (output.name == "cu_seqlens" ? reference::cu_seqlens_entries(tokens) : tokens)};
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    reference::DocumentPacker packer(to_tokens(arrays.at("tokens")),
                                     {.bos = bos, .max_document = p.integer("max_document")},
                                     "inputs/tokens");
    std::vector<Index> inputs, targets, cu_seqlens;
    for (Index call = 0; call < p.integer("sequences"); ++call) {
      const auto packed = packer.next(1, p.integer("T"));
      if (!packed) {
        throw InputError("inputs/tokens: expected tokens for " + p.word("sequences") +
                         " sequences, got enough for " + std::to_string(call));
      }
      const auto& sequence = packed->front();
      inputs.insert(inputs.end(), sequence.inputs.begin(), sequence.inputs.end());
      targets.insert(targets.end(), sequence.targets.begin(), sequence.targets.end());
      cu_seqlens.insert(cu_seqlens.end(), sequence.cu_seqlens.begin(), sequence.cu_seqlens.end());
    }
    return Values{{"outputs/inputs", to_values(inputs)},
                  {"outputs/targets", to_values(targets)},
                  {"outputs/cu_seqlens", to_values(cu_seqlens)}};
  };
  return component;
}

}  // namespace

std::vector<Component> data_rows() { return {shard_reader(), document_packer()}; }

}  // namespace pairedhead
