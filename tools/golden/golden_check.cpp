#include "tools/golden/golden_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "golden/hdf5_file.h"
#include "reference/spec_version.h"
#include "tools/components/component.h"
#include "tools/verdict/error_scale.h"

namespace pairedhead {
namespace {

class Checker {
 public:
  explicit Checker(const GoldenCase& golden)
      : golden_(golden),
        component_(component_named(golden.component)),
        parameters_(Parameters::parse(golden.parameters)) {}

  GoldenVerdict run() {
    component_.check(parameters_);
    if (golden_.spec_version != spec_version) {
      complain(fmt::format("was made for SPEC {}, this program knows {}", golden_.spec_version,
                           spec_version));
    }
    const bool ours = golden_.origin == "reference";
    if (ours) check_inputs();
    if (!verdict_.holds()) return verdict_;
    Values exact;
    try {
      exact = component_.reference(parameters_, golden_.inputs, Rounding::exact());
      if (component_.magnitude) magnitude_ = component_.magnitude(parameters_, golden_.inputs);
    } catch (const std::out_of_range&) {
      complain(fmt::format("lacks an input that component {} needs", component_.name));
      return verdict_;
    }
    if (ours) check_complete(exact);
    for (const auto& [key, stored] : golden_.values) check_values(key, stored, exact);
    if (ours && verdict_.holds()) check_scale(exact);
    return verdict_;
  }

 private:
  void complain(const std::string& sentence) { verdict_.complaints.push_back(sentence); }

  void check_inputs() {
    const Arrays inputs = component_.inputs(parameters_, golden_.seed);
    for (const auto& [name, array] : inputs) {
      const auto stored = golden_.inputs.find(name);
      if (stored == golden_.inputs.end()) {
        complain(
            fmt::format("inputs/{}: expected the input of seed {}, got none", name, golden_.seed));
      } else if (stored->second.dtype != array.dtype || stored->second.shape != array.shape ||
                 stored->second.bytes != array.bytes) {
        complain(
            fmt::format("inputs/{}: expected the bits of seed {}, got others", name, golden_.seed));
      }
    }
    for (const auto& [name, array] : golden_.inputs) {
      if (inputs.count(name) == 0) complain(fmt::format("inputs/{}: no input of the row", name));
    }
  }

  void check_complete(const Values& exact) {
    for (const auto& [key, tensor] : exact) {
      if (golden_.values.count(key) == 0) complain(fmt::format("{}: expected it, got none", key));
    }
  }

  bool compares_bits(const std::string& key) const {
    return std::any_of(
        component_.outputs.begin(), component_.outputs.end(),
        [&](const OutputRow& row) { return row.key() == key && component_.compares_bits(row); });
  }

  // The largest permissible distance of the stored element from `computed`.
  double limit(const std::string& key, Index i, double computed) const {
    const auto dtype = golden_.dtypes.find(key)->second;
    if (compares_bits(key) && dtype != DType::fp64) {
      const bool records_fp32 = golden_.origin == "record" && dtype == DType::fp32;
      return records_fp32 ? record_fp32_tolerance * std::abs(computed) : 0;
    }
    if (golden_.origin == "record") return independent_tolerance * largest_terms_;
    const double tolerance =
        golden_.origin == "reference" ? reference_tolerance : independent_tolerance;
    return tolerance * terms(key, i, computed);
  }

  double terms(const std::string& key, Index i, double computed) const {
    const auto found = magnitude_.find(key);
    return found == magnitude_.end() ? std::abs(computed) : found->second[i];
  }

  void check_values(const std::string& key, const Tensor<double>& stored, const Values& exact) {
    const auto found = exact.find(key);
    if (found == exact.end()) {
      return complain(fmt::format("{}: component {} has no such value", key, component_.name));
    }
    const Tensor<double>& computed = found->second;
    if (stored.shape() != computed.shape()) {
      return complain(fmt::format("{}: expected shape {}, got {}", key, to_string(computed.shape()),
                                  to_string(stored.shape())));
    }
    largest_terms_ = 0;
    for (Index i = 0; i < computed.size(); ++i) {
      largest_terms_ = std::max(largest_terms_, terms(key, i, computed[i]));
    }
    Index wrong = 0, first = 0;
    for (Index i = 0; i < stored.size(); ++i) {
      const double error = std::abs(stored[i] - computed[i]);
      const double permitted = limit(key, i, computed[i]);
      if (!(error <= permitted) && wrong++ == 0) first = i;
      note(key, i, error, permitted, stored.shape());
    }
    if (wrong > 0) {
      complain(fmt::format(
          "{}: {} of {} values disagree, the first at {}: stored {:.17g}, computed {:.17g}, "
          "permitted distance {:.3g}",
          key, wrong, stored.size(), hdf5::position(first, stored.shape()), stored[first],
          computed[first], limit(key, first, computed[first])));
    }
  }

  void note(const std::string& key, Index i, double error, double permitted, const Shape& shape) {
    if (error == 0) return;
    const double share = permitted > 0 ? error / permitted : INFINITY;
    if (share > verdict_.worst) {
      verdict_.worst = share;
      verdict_.worst_at = key + hdf5::position(i, shape);
    }
  }

  void check_scale(const Values& exact) {
    if (component_.judgement == Judgement::bitwise) return;
    Truth truth{exact, {}, {}};
    add_scale(component_, parameters_, golden_.inputs, golden_.seed, truth);
    for (const auto& [key, computed] : truth.scale) {
      const auto stored = golden_.scale.find(key);
      if (stored == golden_.scale.end()) {
        complain(fmt::format("scale/{}: expected it, got none", key));
        continue;
      }
      for (Index i = 0; i < computed.size(); ++i) {
        const double error = std::abs(stored->second[i] - computed[i]);
        if (error <= scale_tolerance * computed[i]) continue;
        complain(fmt::format("scale/{}: at {}: stored {:.17g}, computed {:.17g}", key,
                             hdf5::position(i, computed.shape()), stored->second[i], computed[i]));
        break;
      }
    }
  }

  const GoldenCase& golden_;
  const Component& component_;
  Parameters parameters_;
  Values magnitude_;
  double largest_terms_ = 0;  // of the tensor at hand
  GoldenVerdict verdict_;
};

}  // namespace

GoldenVerdict check_golden(const GoldenCase& golden) { return Checker(golden).run(); }

}  // namespace pairedhead
