#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "reference/visibility.h"
#include "tests/property/attention_case.h"

namespace pairedhead::reference {
namespace {

using namespace pairedhead::testing;

// Which keys each query sees, by the flat rule of SPEC §3.7, written without the closed forms: flat
// rows count one a token where heads are not paired.
std::vector<bool> flat_rule(const AttentionCase& c) {
  const Index heads = c.heads, tokens = c.tokens();
  const bool paired = c.settings.pairing != Pairing::none;
  const auto row_and_slot = [&](Index t, Index h) -> std::pair<Index, Index> {
    switch (c.settings.pairing) {
      case Pairing::strided:
        return {2 * t + h / (heads / 2), h % (heads / 2)};
      case Pairing::adjacent:
        return {2 * t + h % 2, h / 2};
      case Pairing::none:
        break;
    }
    return {t, h};
  };
  std::vector<Index> document_of_row;
  for (std::size_t n = 0; n + 1 < c.settings.cu_seqlens.size(); ++n) {
    const Index length = c.settings.cu_seqlens[n + 1] - c.settings.cu_seqlens[n];
    document_of_row.insert(document_of_row.end(),
                           static_cast<std::size_t>(paired ? 2 * length : length),
                           static_cast<Index>(n));
  }
  std::vector<bool> visible;
  for (Index query = 0; query < tokens * heads; ++query) {
    const auto [R, query_slot] = row_and_slot(query / heads, query % heads);
    for (Index key = 0; key < tokens * heads; ++key) {
      const auto [S, key_slot] = row_and_slot(key / heads, key % heads);
      visible.push_back(query_slot == key_slot && S <= R && R - S <= c.settings.window &&
                        document_of_row[static_cast<std::size_t>(R)] ==
                            document_of_row[static_cast<std::size_t>(S)]);
    }
  }
  return visible;
}

rc::Gen<AttentionCase> cases() { return attention_cases(); }

// Zero queries make all weights of a row equal; a value that is one at the index of its own key
// writes each weight into its own channel.
RC_GTEST_PROP(VisibilityLaws, ProbingAttentionRecoversTheDefinition, ()) {
  const AttentionCase c = *cases();
  const Index keys = c.tokens() * c.heads;
  RC_PRE(keys <= 96);
  const Tensor<double> zero({c.tokens(), c.heads, keys});
  Tensor<double> one_hot = zero;
  for (Index key = 0; key < keys; ++key) one_hot[key * keys + key] = 1;
  const Tensor<double> weights =
      attention_forward(zero, zero, one_hot, c.settings, Rounding::exact()).y;
  const std::vector<bool> expected = flat_rule(c);
  for (Index query = 0; query < keys; ++query) {
    const Index count = visible_count(query / c.heads, query % c.heads, c.heads, c.settings);
    for (Index key = 0; key < keys; ++key) {
      const bool visible = expected[static_cast<std::size_t>(query * keys + key)];
      RC_ASSERT(weights[query * keys + key] == (visible ? 1.0 / static_cast<double>(count) : 0.0));
    }
  }
}

RC_GTEST_PROP(VisibilityLaws, ListedKeysAreTheFlatRuleInOrder, ()) {
  const AttentionCase c = *cases();
  const Index keys = c.tokens() * c.heads;
  const std::vector<bool> expected = flat_rule(c);
  for (Index query = 0; query < keys; ++query) {
    const auto listed = visible_keys(query / c.heads, query % c.heads, c.heads, c.settings);
    std::vector<bool> seen(static_cast<std::size_t>(keys));
    Index previous_row = -1;
    for (const TokenHead key : listed) {
      const Index row = c.settings.pairing == Pairing::none
                            ? key.token
                            : 2 * key.token + row_in_pair(key.head, c.heads, c.settings.pairing);
      RC_ASSERT(row > previous_row);
      previous_row = row;
      seen[static_cast<std::size_t>(key.token * c.heads + key.head)] = true;
    }
    RC_ASSERT(std::equal(seen.begin(), seen.end(), expected.begin() + query * keys));
    RC_ASSERT(static_cast<Index>(listed.size()) ==
              visible_count(query / c.heads, query % c.heads, c.heads, c.settings));
  }
}

RC_GTEST_PROP(VisibilityLaws, EarlyRowsSeeThePartnersPastLateRowsItsPresentToo, ()) {
  const AttentionCase c = *attention_cases({.pairings = {Pairing::strided, Pairing::adjacent}});
  for (Index t = 0; t < c.tokens(); ++t) {
    for (Index h = 0; h < c.heads; ++h) {
      const Index row = row_in_pair(h, c.heads, c.settings.pairing);
      const Index partner = partner_of(h, c.heads, c.settings.pairing);
      RC_ASSERT(partner_of(partner, c.heads, c.settings.pairing) == h);
      RC_ASSERT(row_in_pair(partner, c.heads, c.settings.pairing) == 1 - row);
      Index latest = -1;
      for (const TokenHead key : visible_keys(t, h, c.heads, c.settings)) {
        if (key.head == partner) latest = std::max(latest, key.token);
      }
      const Index start = document_start(t, c.settings.cu_seqlens);
      if (row == 1) RC_ASSERT(latest == t);
      if (row == 0) RC_ASSERT(latest == (t > start ? t - 1 : -1));
    }
  }
}

}  // namespace
}  // namespace pairedhead::reference
