#include "reference/rotary.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

std::vector<float> frequencies_of(const Array& array) {
  return {array.as<float>(), array.as<float>() + array.size()};
}

Array from_frequencies(const std::vector<float>& frequencies) {
  Array array(DType::fp32, {static_cast<Index>(frequencies.size())});
  std::copy(frequencies.begin(), frequencies.end(), array.as<float>());
  return array;
}

// Frequencies as the record reaches them: the start, or after some of its long-window changes.
reference::RotaryState state_after(Index changes, Index head_dim) {
  constexpr Index blocks[] = {3, 7, 11, 13};
  reference::RotaryState state = reference::rotary_start(head_dim);
  for (Index i = 0; i < changes; ++i)
    state = reference::yarn_update(state, blocks[i], blocks[i + 1]);
  return state;
}

Index draw_head_dim(Random& random) {
  constexpr Index head_dims[] = {128, 16, 32, 64, 24, 72};
  return head_dims[random.integer(0, 5)];
}

std::vector<Parameters> shrink(const Parameters& p) {
  std::vector<Parameters> smaller;
  if (p.has("T")) smaller = shrink_token_shape(p, false);
  if (p.integer("D") > 16) smaller.push_back(Parameters(p).set("D", 16));
  if (p.integer("changes") > 0) smaller.push_back(Parameters(p).set("changes", 0));
  return smaller;
}

void check_changes(const Parameters& p) {
  check_head_dim(p);
  const Index changes = p.integer("changes");
  if (changes < 0 || changes > 3) {
    throw InputError("changes: expected 0 to 3 long-window changes, got " + p.word("changes"));
  }
}

Component rotary_table() {
  Component component;
  component.name = "rotary_table";
  component.spec_section = "SPEC §3.4";
  component.judgement = Judgement::bitwise;
  component.outputs = {
      {.name = "cosine", .is_gradient = false, .dtype = DType::bf16, .may_be_trivial = true},
      {.name = "sine", .is_gradient = false, .dtype = DType::bf16, .may_be_trivial = true}};
  component.draw = [](Random& random, double size) {
    return Parameters()
        .set("D", draw_head_dim(random))
        .set("T", random.integer(1, 2 + static_cast<Index>(size * 2000)))
        .set("paired", random.integer(0, 1))
        .set("changes", random.integer(0, 3));
  };
  component.edges = {Parameters::parse("T=1 D=16 paired=0 changes=0"),
                     Parameters::parse("T=2 D=128 paired=1 changes=0"),
                     Parameters::parse("T=4096 D=128 paired=0 changes=3"),
                     Parameters::parse("T=16384 D=16 paired=1 changes=0")};
  component.shrink = shrink;
  component.check = [](const Parameters& p) {
    check_tokens(p);
    check_changes(p);
  };
  component.inputs = [](const Parameters& p, std::uint64_t) {
    return Arrays{{"frequency",
                   from_frequencies(state_after(p.integer("changes"), p.integer("D")).frequency)}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) {
    return Shape{p.integer("T"), p.integer("D") * (p.integer("paired") + 1)};
  };
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    auto table = reference::rotary_table(frequencies_of(arrays.at("frequency")), p.integer("T"),
                                         p.integer("paired") != 0);
    return Values{{"outputs/cosine", std::move(table.cosine)},
                  {"outputs/sine", std::move(table.sine)}};
  };
  component.work = [](const Parameters& p, bool) {
    return Work{2 * 2 * static_cast<double>(p.integer("T") * p.integer("D")) *
                    static_cast<double>(p.integer("paired") + 1),
                0};
  };
  return component;
}

Component yarn_update() {
  Component component;
  component.name = "yarn_update";
  component.spec_section = "SPEC §3.5";
  component.judgement = Judgement::bitwise;
  component.outputs = {{.name = "frequency", .is_gradient = false, .dtype = DType::fp32},
                       {.name = "softmax_scale",
                        .is_gradient = false,
                        .dtype = DType::fp64,
                        .may_be_trivial = true}};
  component.draw = [](Random& random, double) {
    return Parameters()
        .set("D", draw_head_dim(random))
        .set("changes", random.integer(0, 3))
        .set("old_blocks", random.integer(1, 16))
        .set("new_blocks", random.integer(1, 20))
        .set("window_unit", random.integer(0, 1) == 0 ? Index{128} : random.integer(1, 256));
  };
  component.edges = {
      Parameters::parse("D=128 changes=0 old_blocks=3 new_blocks=7 window_unit=128"),
      Parameters::parse("D=128 changes=1 old_blocks=7 new_blocks=11 window_unit=128"),
      Parameters::parse("D=128 changes=2 old_blocks=11 new_blocks=13 window_unit=128"),
      Parameters::parse("D=16 changes=0 old_blocks=3 new_blocks=7 window_unit=4")};
  component.shrink = shrink;
  component.check = [](const Parameters& p) {
    check_changes(p);
    for (const char* name : {"old_blocks", "new_blocks", "window_unit"}) {
      if (p.integer(name) < 1) {
        throw InputError(std::string(name) + ": expected at least 1, got " + p.word(name));
      }
    }
  };
  component.inputs = [](const Parameters& p, std::uint64_t) {
    const auto state = state_after(p.integer("changes"), p.integer("D"));
    Arrays arrays;
    arrays["frequency"] = from_frequencies(state.frequency);
    arrays["softmax_scale"] = Array(DType::fp64, {1});
    arrays["softmax_scale"].set(0, state.softmax_scale);
    for (const char* name : {"old_blocks", "new_blocks", "window_unit"}) {
      arrays[name] = from_indices({p.integer(name)});
    }
    return arrays;
  };
  component.output_shape = [](const Parameters& p, const OutputRow& output) {
    return Shape{output.name == "frequency" ? p.integer("D") : 1};
  };
  component.reference = [](const Parameters&, const Arrays& arrays, Rounding) {
    const auto scalar = [&](const char* name) { return static_cast<Index>(arrays.at(name).at(0)); };
    reference::RotaryState state;
    state.frequency = frequencies_of(arrays.at("frequency"));
    state.softmax_scale = arrays.at("softmax_scale").at(0);
    state = reference::yarn_update(state, scalar("old_blocks"), scalar("new_blocks"),
                                   scalar("window_unit"));
    return Values{{"outputs/frequency", to_tensor(from_frequencies(state.frequency))},
                  {"outputs/softmax_scale", Tensor<double>({1}, state.softmax_scale)}};
  };
  // No change of the window, no change of the frequencies.
  component.trivial = [](const Parameters& p, const OutputRow&) {
    return p.integer("old_blocks") == p.integer("new_blocks");
  };
  return component;
}

}  // namespace

std::vector<Component> rotary_rows() { return {rotary_table(), yarn_update()}; }

}  // namespace pairedhead
