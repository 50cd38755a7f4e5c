#include "reference/visibility.h"

#include <algorithm>

#include "reference/mutant.h"

namespace pairedhead::reference {
namespace {

// The distances dt = query token - key token that one head's keys are visible at, both ends
// included. Empty if first > last.
struct Reach {
  Index first, last;
  bool contains(Index distance) const { return first <= distance && distance <= last; }
  // How many of the distances stay inside a document with `past` tokens before the query.
  Index count(Index past) const { return std::max<Index>(0, std::min(last, past) - first + 1); }
};

Index effective_window(const AttentionSettings& settings) {
  Index window = settings.window;
  if (mutated(Mutant::exclusive_window_end)) window -= 1;
  if (mutated(Mutant::window_clipped_to_tile)) window = std::min<Index>(window, 64);
  if (mutated(Mutant::doubled_window) && settings.pairing != Pairing::none) window *= 2;
  return window;
}

Reach own_reach(Index window, Pairing pairing) {
  if (pairing == Pairing::none) {
    return {mutated(Mutant::sees_next_token) ? -1 : 0, window};
  }
  return {0, window / 2};
}

// The partner's row of the same token lies one flat row after an early row and before a late one.
Reach partner_reach(Index window, Index row) {
  if (row == 0) {
    const Index last = mutated(Mutant::partner_reach_rounded_down) ? window / 2 : (window + 1) / 2;
    return {mutated(Mutant::early_row_sees_partner) ? 0 : 1, last};
  }
  return {mutated(Mutant::late_row_misses_partner) ? 1 : 0, (window + 1) / 2 - 1};
}

// Tokens [start, end) of one document.
struct Document {
  Index start, end;
};

Document document_of(Index token, const std::vector<Index>& cu_seqlens) {
  const auto end = std::upper_bound(cu_seqlens.begin(), cu_seqlens.end(), token);
  if (token < 0 || end == cu_seqlens.begin() || end == cu_seqlens.end()) {
    throw InputError("document of token " + std::to_string(token) +
                     ": cu_seqlens does not cover the token");
  }
  return {*std::prev(end), *end};
}

// What forgetting to double cu_seqlens does: flat rows, not tokens, are cut at its entries, and the
// rows past its end are a document more.
Index undoubled_start(Index flat_row, const std::vector<Index>& cu_seqlens) {
  return *std::prev(std::upper_bound(cu_seqlens.begin(), cu_seqlens.end(), flat_row));
}

}  // namespace

Index partner_of(Index head, Index heads, Pairing pairing) {
  if (mutated(Mutant::pair_neighbouring_heads)) return head ^ 1;
  switch (pairing) {
    case Pairing::strided:
      return (head + heads / 2) % heads;
    case Pairing::adjacent:
      return head ^ 1;
    case Pairing::none:
      break;
  }
  throw InputError("partner of a head: expected pairing strided or adjacent, got none");
}

Index row_in_pair(Index head, Index heads, Pairing pairing) {
  const Index flip = mutated(Mutant::swap_rows_in_pair) ? 1 : 0;
  if (mutated(Mutant::pair_neighbouring_heads)) return head % 2;
  switch (pairing) {
    case Pairing::strided:
      return (head / (heads / 2)) ^ flip;
    case Pairing::adjacent:
      return (head % 2) ^ flip;
    case Pairing::none:
      break;
  }
  throw InputError("row in a pair: expected pairing strided or adjacent, got none");
}

void list_visible_keys(Index token, Index head, Index heads, const AttentionSettings& settings,
                       std::vector<TokenHead>& keys) {
  keys.clear();
  const Document document = document_of(token, settings.cu_seqlens);
  Index start = document.start;
  if (mutated(Mutant::document_starts_late)) start = std::min(start + 1, token);
  if (mutated(Mutant::documents_ignored)) start = 0;
  const Index window = effective_window(settings);
  const Reach own = own_reach(window, settings.pairing);

  if (settings.pairing == Pairing::none) {
    const Index last = std::min(token - own.first, document.end - 1);
    for (Index u = std::max(start, token - own.last); u <= last; ++u) keys.push_back({u, head});
    return;
  }

  const Index row = row_in_pair(head, heads, settings.pairing);
  const Index partner = partner_of(head, heads, settings.pairing);
  const Reach other = partner_reach(window, row);
  const bool undoubled = mutated(Mutant::undoubled_cu_seqlens);
  if (undoubled) start = 0;
  for (Index u = std::max(start, token - std::max(own.last, other.last)); u <= token; ++u) {
    const Index distance = token - u;
    for (Index key_row = 0; key_row < 2; ++key_row) {
      const bool is_own = key_row == row;
      if (!(is_own ? own : other).contains(distance)) continue;
      if (undoubled && 2 * u + key_row < undoubled_start(2 * token + row, settings.cu_seqlens)) {
        continue;
      }
      keys.push_back({u, is_own ? head : partner});
    }
  }
}

std::vector<TokenHead> visible_keys(Index token, Index head, Index heads,
                                    const AttentionSettings& settings) {
  std::vector<TokenHead> keys;
  list_visible_keys(token, head, heads, settings, keys);
  return keys;
}

Index visible_count(Index token, Index head, Index heads, const AttentionSettings& settings) {
  const Index past = token - document_start(token, settings.cu_seqlens);
  const Reach own = own_reach(settings.window, settings.pairing);
  if (settings.pairing == Pairing::none) return own.count(past);
  const Index row = row_in_pair(head, heads, settings.pairing);
  return own.count(past) + partner_reach(settings.window, row).count(past);
}

Index visible_pairs(Index tokens, Index heads, const AttentionSettings& settings) {
  Index pairs = 0;
  for (Index token = 0; token < tokens; ++token) {
    for (Index head = 0; head < heads; ++head) {
      pairs += visible_count(token, head, heads, settings);
    }
  }
  return pairs;
}

Index document_start(Index token, const std::vector<Index>& cu_seqlens) {
  return document_of(token, cu_seqlens).start;
}

void check_attention(Index tokens, Index heads, const AttentionSettings& settings) {
  const std::vector<Index>& cu = settings.cu_seqlens;
  if (tokens < 1) {
    throw InputError("attention: expected at least 1 token, got " + std::to_string(tokens));
  }
  if (heads < 1) {
    throw InputError("attention: expected at least 1 head, got " + std::to_string(heads));
  }
  if (settings.pairing != Pairing::none && heads % 2 != 0) {
    throw InputError("attention: expected an even number of heads to pair, got " +
                     std::to_string(heads));
  }
  if (settings.window < 1) {
    throw InputError("attention: expected window >= 1, got " + std::to_string(settings.window));
  }
  if (cu.empty() || cu.front() != 0) {
    throw InputError("cu_seqlens: expected entry 0 to be 0, got " +
                     (cu.empty() ? std::string("no entry") : std::to_string(cu.front())));
  }
  for (std::size_t i = 1; i < cu.size(); ++i) {
    if (cu[i] < cu[i - 1]) {
      throw InputError("cu_seqlens: expected entries that do not decrease, got " +
                       std::to_string(cu[i]) + " at entry " + std::to_string(i) + " after " +
                       std::to_string(cu[i - 1]));
    }
  }
  if (cu.back() != tokens) {
    throw InputError("cu_seqlens: expected the last entry to be the number of tokens " +
                     std::to_string(tokens) + ", got " + std::to_string(cu.back()));
  }
}

}  // namespace pairedhead::reference
