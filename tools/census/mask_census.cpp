#include "tools/census/mask_census.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/visibility.h"
#include "tools/components/documents.h"
#include "tools/components/rows.h"
#include "tools/verdict/poison.h"

namespace pairedhead {
namespace {

using reference::TokenHead;

// A key's or query's place in its own sequence, as two small digits read one after the other.
class Digits {
 public:
  Digits(Index heads, Index head_dim, Pairing pairing, bool high)
      : heads_(heads), head_dim_(head_dim), pairing_(pairing), high_(high) {}

  Index operator()(const TokenHead& place) const {
    Index position = place.token, slot = place.head;
    if (pairing_ != Pairing::none) {
      position = 2 * place.token + reference::row_in_pair(place.head, heads_, pairing_);
      slot = std::min(place.head, reference::partner_of(place.head, heads_, pairing_));
    }
    return ((high_ ? position / 16 : position) + 7 * slot) % head_dim_;
  }

 private:
  Index heads_, head_dim_;
  Pairing pairing_;
  bool high_;
};

struct Counts {
  std::vector<std::uint16_t> keys_of_query;  // [T, H, D]
  std::vector<float> queries_of_key;         // [T, H, D], each weighted as the target weighs it
  std::vector<std::uint16_t> visible;        // [T, H]
};

double bf16(double value) { return round_to(DType::bf16, value); }

}  // namespace

CensusResult mask_census(Target& target, const Component& attention, const Parameters& parameters) {
  attention.check(parameters);
  const Index tokens = parameters.integer("T"), heads = parameters.integer("H");
  const Index head_dim = parameters.integer("D");
  reference::AttentionSettings settings;
  settings.pairing = pairing_of(parameters);
  settings.window = parameters.integer("window");
  settings.cu_seqlens = cu_seqlens_of(parameters.integers("documents"));

  // Only the small inputs are kept; the cheapest fill will do for the keys, which zero queries
  // ignore.
  Arrays inputs = attention.inputs(Parameters(parameters).set("fill", std::string("integers")), 0);
  const Array zeros(DType::bf16, {tokens, heads, head_dim});
  inputs["q"] = zeros;
  CensusResult result;
  for (const bool high : {false, true}) {
    const Digits digit(heads, head_dim, settings.pairing, high);
    const auto at = [&](const TokenHead& place) { return place.token * heads + place.head; };
    const auto elements = static_cast<std::size_t>(tokens * heads * head_dim);
    Counts counts{std::vector<std::uint16_t>(elements), std::vector<float>(elements),
                  std::vector<std::uint16_t>(static_cast<std::size_t>(tokens * heads))};
    inputs["v"] = zeros;
    inputs["grad_y"] = zeros;
    for (Index token = 0; token < tokens; ++token) {
      for (Index head = 0; head < heads; ++head) {
        const TokenHead query{token, head};
        const auto keys = reference::visible_keys(token, head, heads, settings);
        const auto visible = static_cast<double>(keys.size());
        counts.visible[static_cast<std::size_t>(at(query))] =
            static_cast<std::uint16_t>(keys.size());
        inputs["v"].set(at(query) * head_dim + digit(query), 1);
        inputs["grad_y"].set(at(query) * head_dim + digit(query), visible);
        // The probability that the target multiplies with is itself a bf16.
        const auto weight = static_cast<float>(bf16(1 / visible) * bf16(visible));
        for (const TokenHead& key : keys) {
          ++counts.keys_of_query[static_cast<std::size_t>(at(query) * head_dim + digit(key))];
          counts.queries_of_key[static_cast<std::size_t>(at(key) * head_dim + digit(query))] +=
              weight;
        }
      }
    }
    Arrays outputs = poisoned_outputs(attention, parameters, high ? 1 : 0);
    target.run(attention, parameters, inputs, outputs);

    const auto judge = [&](const char* what, Index row, const auto& expected, const auto& counted) {
      ++result.rows;
      for (Index d = 0; d < head_dim; ++d) {
        const double want = expected(d), got = counted(d);
        // Half of one key, in the scale of the count: what separates it from its neighbours.
        if (std::abs(got - want) <= 0.5) continue;
        if (result.wrong++ == 0) {
          result.first_wrong =
              fmt::format("{} of token {} head {}, {} digit {}: expected {:.6g}, counted {:.6g}",
                          what, row / heads, row % heads, high ? "high" : "low", d, want, got);
        }
        return;
      }
    };
    const Array &y = outputs.at("outputs/y"), &grad_v = outputs.at("grads/v");
    for (Index row = 0; row < tokens * heads; ++row) {
      const auto element = [&](Index d) { return static_cast<std::size_t>(row * head_dim + d); };
      judge(
          "keys", row, [&](Index d) { return counts.keys_of_query[element(d)]; },
          [&](Index d) {
            return y.at(row * head_dim + d) * counts.visible[static_cast<std::size_t>(row)];
          });
      judge(
          "queries", row,
          [&](Index d) { return static_cast<double>(counts.queries_of_key[element(d)]); },
          [&](Index d) { return grad_v.at(row * head_dim + d); });
    }
  }
  return result;
}

}  // namespace pairedhead
