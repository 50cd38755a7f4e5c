#pragma once

#include <vector>

#include "reference/attention.h"

namespace pairedhead::reference {

struct TokenHead {
  Index token;
  Index head;
  bool operator==(const TokenHead&) const = default;
};

// Partner head and row-in-pair r of a head (SPEC §3.7, §15). H even; plain attention has no
// partner.
Index partner_of(Index head, Index heads, Pairing pairing);
Index row_in_pair(Index head, Index heads, Pairing pairing);

// The (token, head) keys that the query (token, head) sees, ordered as one softmax lists them: by
// token, within a token by row-in-pair (SPEC §3.6.6, §3.7 "In (token, head) terms").
std::vector<TokenHead> visible_keys(Index token, Index head, Index heads,
                                    const AttentionSettings& settings);

// The same into a buffer that the caller reuses from row to row; what it held is dropped.
void list_visible_keys(Index token, Index head, Index heads, const AttentionSettings& settings,
                       std::vector<TokenHead>& keys);

// Number of keys that visible_keys lists, by the closed form, without listing them.
Index visible_count(Index token, Index head, Index heads, const AttentionSettings& settings);

// All visible (query, key) pairs of a batch: the work that TFLOP/s are counted over.
Index visible_pairs(Index tokens, Index heads, const AttentionSettings& settings);

// First token of the document that holds `token`.
Index document_start(Index token, const std::vector<Index>& cu_seqlens);

// Throws InputError with one sentence unless cu_seqlens starts at 0, does not decrease and ends at
// tokens, window >= 1, and H is even where heads are paired.
void check_attention(Index tokens, Index heads, const AttentionSettings& settings);

}  // namespace pairedhead::reference
