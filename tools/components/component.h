#pragma once

#include <functional>
#include <string>
#include <vector>

#include "golden/array.h"
#include "reference/random.h"
#include "reference/rounding.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// Everything the project knows of a component is said here, once. verify, fuzz, golden, bench,
// compare, eval, mutants and the reports read this row and nothing else.

enum class Judgement { bitwise, ratio };

// u_acc: the unit roundoff of what the terms of a sum are added in. Hopper's matrix units align the
// products of fp8 operands to the largest and keep 14 bits, the rest cut off; so say SPEC's "fast
// accumulation" over any depth, and the other form over 128 terms at a time. `verify --full-size`
// measures the count anew.
inline constexpr double fp32_accumulator = 0x1p-24, fp8_accumulator = 0x1p-13;

// One output or gradient of a component.
struct OutputRow {
  std::string name;  // "y", "logsumexp", or the input whose gradient it is, "q"
  bool is_gradient;  // under grads/ rather than outputs/
  DType dtype;       // in the target's storage
  // May be identically zero or constant, or equal to an input (identity settings), so that this is
  // no sign of a test that could not fail.
  bool may_be_trivial = false;
  // NaN and infinities are among its values. Where the reference has a NaN any NaN will do, since
  // IEEE 754 leaves its sign and payload open. Only for outputs whose bits are compared.
  bool may_be_nan = false;
  // In a row of ratios: bits are compared nevertheless.
  bool bitwise = false;
  std::string key() const { return (is_gradient ? "grads/" : "outputs/") + name; }
};

// Reference values by OutputRow::key().
using Values = std::map<std::string, Tensor<double>>;

// How much a call moves and computes at least (the roofline of `bench`).
struct Work {
  double bytes = 0;  // each input read once, each output written once
  double flops = 0;  // over visible pairs only
};

struct Component {
  std::string name;          // SPEC §12.1
  std::string spec_section;  // "SPEC §3.7"
  Judgement judgement = Judgement::ratio;
  std::vector<OutputRow> outputs;

  // A fuzzed setting. `size` in [0, 1] bounds how large it may be.
  std::function<Parameters(Random&, double size)> draw;
  // Settings that must always be run: the edges that fuzzing may miss.
  std::vector<Parameters> edges;
  // Smaller settings to try when one fails, the boldest first. Each must be smaller by
  // complexity().
  std::function<std::vector<Parameters>(const Parameters&)> shrink;
  // Throws InputError with one sentence if the setting is not one of the component's.
  std::function<void(const Parameters&)> check;
  // Inputs by name, each exactly representable in its dtype; incoming gradients as "grad_y".
  std::function<Arrays(const Parameters&, std::uint64_t seed)> inputs;
  // Shape of an output or gradient.
  std::function<Shape(const Parameters&, const OutputRow&)> output_shape;
  // The reference in double; with an exact Rounding it is the truth.
  std::function<Values(const Parameters&, const Arrays& inputs, Rounding rounding)> reference;
  // Whether an output of this setting is zero, constant or a copy of an input by definition (the
  // gradient of a query that sees one key). Absent: never. An output for which this does not hold
  // and whose reference is zero or constant makes the case UNTRUSTED.
  std::function<bool(const Parameters&, const OutputRow&)> trivial;
  // The same computation on absolute values (a_i of tools/verdict/error_scale.h); bitwise: empty.
  std::function<Values(const Parameters&, const Arrays& inputs)> magnitude;
  // u_acc of an output; absent: fp32_accumulator.
  std::function<double(const Parameters&, const OutputRow&)> accumulator;
  // Keys of the outputs that later stages start from, where a row is judged stage by stage: the
  // reference is then also called with the target's own values of them among its inputs, under
  // their keys, and takes these where it finds them.
  std::vector<std::string> stages;
  // Forward and backward, told apart by name; empty where nothing is timed.
  std::function<Work(const Parameters&, bool backward)> work;
  // Of so many cases that are asked for, one is drawn: more than 1 where a case trains.
  Index one_in = 1;
  // Where the GPU has no kernel of its own for it: the row of the fused kernel that covers it.
  std::string fused_into;

  bool compares_bits(const OutputRow& row) const {
    return judgement == Judgement::bitwise || row.bitwise;
  }
};

// The table, in the order of SPEC §12.1.
const std::vector<Component>& component_table();
// Throws InputError naming the known components.
const Component& component_named(const std::string& name);

}  // namespace pairedhead
