#include "tools/components/documents.h"

#include <algorithm>
#include <numeric>

namespace pairedhead {

std::vector<Index> draw_documents(Index tokens, Random& random) {
  const Index kind = random.integer(0, 4);
  if (kind == 0) return {tokens};
  std::vector<Index> documents;
  Index left = tokens;
  // Mean lengths from "every token its own document" to "two or three documents".
  const Index longest = kind == 1 ? 3 : kind == 2 ? std::max<Index>(1, tokens / 4) : tokens;
  while (left > 0) {
    if (random.integer(0, 5) == 0) documents.push_back(0);
    const Index length = random.integer(0, 3) == 0 ? 1 : std::min(left, random.integer(1, longest));
    documents.push_back(length);
    left -= length;
  }
  if (random.integer(0, 2) == 0) documents.insert(documents.end(), 2, 0);
  return documents;
}

std::vector<Index> cu_seqlens_of(const std::vector<Index>& documents) {
  std::vector<Index> cu_seqlens = {0};
  for (Index length : documents) cu_seqlens.push_back(cu_seqlens.back() + length);
  return cu_seqlens;
}

std::vector<Index> truncated(const std::vector<Index>& documents, Index tokens) {
  std::vector<Index> kept;
  for (Index length : documents) {
    if (tokens == 0) break;
    kept.push_back(std::min(length, tokens));
    tokens -= kept.back();
  }
  return kept;
}

void check_documents(const Parameters& parameters) {
  const Index tokens = parameters.integer("T");
  if (tokens < 1) {
    throw InputError("T: expected at least 1 token, got " + std::to_string(tokens));
  }
  const auto documents = parameters.integers("documents");
  for (Index length : documents) {
    if (length < 0) {
      throw InputError("documents: expected lengths of at least 0 tokens, got " +
                       std::to_string(length));
    }
  }
  const Index sum = std::accumulate(documents.begin(), documents.end(), Index{0});
  if (sum != tokens) {
    throw InputError("documents: expected lengths that sum to T = " + std::to_string(tokens) +
                     ", got " + std::to_string(sum));
  }
}

std::vector<Parameters> shrink_documents(const Parameters& parameters) {
  std::vector<Parameters> smaller;
  const Index tokens = parameters.integer("T");
  const auto documents = parameters.integers("documents");
  const auto with = [&](const std::vector<Index>& lengths) {
    Parameters candidate = parameters;
    candidate.set("T", std::accumulate(lengths.begin(), lengths.end(), Index{0}));
    candidate.set("documents", lengths);
    smaller.push_back(candidate);
  };
  for (Index kept : {Index{1}, Index{2}, Index{3}, tokens / 4, tokens / 2, 3 * tokens / 4}) {
    if (kept >= 1 && kept < tokens) with(truncated(documents, kept));
  }
  if (documents.size() > 1) with({tokens});
  for (std::size_t i = 0; documents.size() > 1 && i < std::min<std::size_t>(documents.size(), 16);
       ++i) {
    auto lengths = documents;
    lengths.erase(lengths.begin() + static_cast<std::ptrdiff_t>(i));
    if (std::accumulate(lengths.begin(), lengths.end(), Index{0}) >= 1) with(lengths);
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(documents.size(), 16); ++i) {
    if (documents[i] < 2) continue;
    auto lengths = documents;
    --lengths[i];
    with(lengths);
  }
  return smaller;
}

}  // namespace pairedhead
