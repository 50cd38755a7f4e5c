#pragma once

#include <vector>

#include "reference/random.h"
#include "tools/components/parameters.h"

namespace pairedhead {

// Documents of a packed batch as the parameter "documents" holds them: lengths in tokens, zero for
// an empty one, summing to T.

// One document, a few cuts, many short ones, single tokens at the ends, empty ones between.
std::vector<Index> draw_documents(Index tokens, Random& random);

// [0, cumulative ends...]: entries repeat where a document is empty.
std::vector<Index> cu_seqlens_of(const std::vector<Index>& documents);

// The first `tokens` tokens of the documents.
std::vector<Index> truncated(const std::vector<Index>& documents, Index tokens);

// Throws InputError unless every length is >= 0 and they sum to T.
void check_documents(const Parameters& parameters);

// Smaller settings of T and documents, the boldest first: half the tokens, fewer documents, one
// token less.
std::vector<Parameters> shrink_documents(const Parameters& parameters);

}  // namespace pairedhead
