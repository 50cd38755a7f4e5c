#include "reference/visibility.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/refusal.h"

namespace pairedhead::reference {
namespace {

AttentionSettings paired(Index window, std::vector<Index> cu_seqlens,
                         Pairing pairing = Pairing::strided) {
  return {pairing, window, 0.1, std::move(cu_seqlens)};
}

// One line a query, one digit a key, both in flat order (token, then row-in-pair) of slot 0.
std::vector<std::string> matrix_of_two_heads(Index tokens, const AttentionSettings& settings) {
  std::vector<std::string> lines;
  for (Index t = 0; t < tokens; ++t) {
    for (Index h = 0; h < 2; ++h) {
      std::string line(static_cast<std::size_t>(2 * tokens), '0');
      for (const TokenHead key : visible_keys(t, h, 2, settings)) {
        line[static_cast<std::size_t>(2 * key.token + key.head)] = '1';
      }
      lines.push_back(line);
    }
  }
  return lines;
}

TEST(Visibility, WorkedExample) {  // SPEC §4
  EXPECT_EQ(matrix_of_two_heads(3, paired(2, {0, 3})),
            (std::vector<std::string>{"100000", "110000", "111000", "011100", "001110", "000111"}));
}

TEST(Visibility, WorkedExampleWithoutWindow) {  // SPEC §4: full lower-triangular for w >= 5
  const std::vector<std::string> triangular = {"100000", "110000", "111000",
                                               "111100", "111110", "111111"};
  EXPECT_EQ(matrix_of_two_heads(3, paired(5, {0, 3})), triangular);
  EXPECT_EQ(matrix_of_two_heads(3, paired(1000, {0, 3})), triangular);
}

TEST(Visibility, WorkedExampleWithDocumentBoundary) {  // SPEC §4: boundary before token 1
  EXPECT_EQ(matrix_of_two_heads(3, paired(2, {0, 1, 3})),
            (std::vector<std::string>{"100000", "110000", "001000", "001100", "001110", "000111"}));
}

TEST(Visibility, CompanionOfFourHeads) {  // SPEC §4: T = 1, pairs (0, 2) and (1, 3)
  const AttentionSettings settings = paired(2, {0, 1});
  EXPECT_EQ(visible_keys(0, 0, 4, settings), (std::vector<TokenHead>{{0, 0}}));
  EXPECT_EQ(visible_keys(0, 1, 4, settings), (std::vector<TokenHead>{{0, 1}}));
  EXPECT_EQ(visible_keys(0, 2, 4, settings), (std::vector<TokenHead>{{0, 0}, {0, 2}}));
  EXPECT_EQ(visible_keys(0, 3, 4, settings), (std::vector<TokenHead>{{0, 1}, {0, 3}}));
}

TEST(Visibility, PairsOfTheRecord) {  // SPEC §0.1
  const Index partners[] = {3, 4, 5, 0, 1, 2};
  for (Index h = 0; h < 6; ++h) {
    EXPECT_EQ(partner_of(h, 6, Pairing::strided), partners[h]);
    EXPECT_EQ(row_in_pair(h, 6, Pairing::strided), h / 3);
    EXPECT_EQ(partner_of(h, 6, Pairing::adjacent), h % 2 == 0 ? h + 1 : h - 1);
    EXPECT_EQ(row_in_pair(h, 6, Pairing::adjacent), h % 2);
  }
  EXPECT_THROW(partner_of(0, 6, Pairing::none), InputError);
  EXPECT_THROW(row_in_pair(0, 6, Pairing::none), InputError);
}

TEST(Visibility, CountsOfTheRecordsWindows) {  // SPEC §3.7: 65 own and 64 partner keys at w = 128
  const AttentionSettings settings = paired(128, {0, 1000});
  for (const Index head : {0, 4}) {
    const std::vector<TokenHead> keys = visible_keys(500, head, 6, settings);
    const Index row = row_in_pair(head, 6, Pairing::strided);
    Index own = 0, partner = 0, nearest_partner = 1000, farthest_partner = 0;
    for (const TokenHead key : keys) {
      if (key.head == head) {
        ++own;
        continue;
      }
      ++partner;
      nearest_partner = std::min(nearest_partner, 500 - key.token);
      farthest_partner = std::max(farthest_partner, 500 - key.token);
    }
    EXPECT_EQ(own, 65);
    EXPECT_EQ(partner, 64);
    EXPECT_EQ(nearest_partner, row == 0 ? 1 : 0);
    EXPECT_EQ(farthest_partner, row == 0 ? 64 : 63);
    EXPECT_EQ(visible_count(500, head, 6, settings), 129);
  }
}

TEST(Visibility, ReachInTokens) {  // SPEC §3.7, last line
  const std::pair<Index, Index> reaches[] = {{128, 64}, {384, 192}, {640, 320}, {768, 384}};
  for (const auto& [window, reach] : reaches) {
    for (Index head = 0; head < 6; ++head) {
      const auto keys = visible_keys(900, head, 6, paired(window, {0, 1000}));
      EXPECT_EQ(900 - keys.front().token, reach) << "window " << window << ", head " << head;
    }
  }
}

TEST(Visibility, PlainWindowIsClosedAtBothEnds) {  // SPEC §3.6.6: up to w + 1 keys
  const AttentionSettings settings{Pairing::none, 3, 0.1, {0, 2, 10}};
  EXPECT_EQ(visible_keys(7, 1, 3, settings),
            (std::vector<TokenHead>{{4, 1}, {5, 1}, {6, 1}, {7, 1}}));
  EXPECT_EQ(visible_keys(3, 0, 3, settings), (std::vector<TokenHead>{{2, 0}, {3, 0}}));
  EXPECT_EQ(visible_count(7, 1, 3, settings), 4);
  EXPECT_EQ(visible_count(3, 0, 3, settings), 2);
}

TEST(Visibility, ClosedFormCountsWhatIsListed) {
  const std::vector<std::vector<Index>> layouts = {{0, 9}, {0, 1, 1, 4, 9}, {0, 8, 9, 9}};
  for (const Pairing pairing : {Pairing::none, Pairing::strided, Pairing::adjacent}) {
    for (const auto& cu : layouts) {
      for (Index window = 1; window <= 20; ++window) {
        const AttentionSettings settings = paired(window, cu, pairing);
        Index pairs = 0;
        for (Index t = 0; t < 9; ++t) {
          for (Index h = 0; h < 6; ++h) {
            const auto listed = static_cast<Index>(visible_keys(t, h, 6, settings).size());
            EXPECT_EQ(visible_count(t, h, 6, settings), listed);
            pairs += listed;
          }
        }
        EXPECT_EQ(visible_pairs(9, 6, settings), pairs);
      }
    }
  }
}

TEST(Visibility, EveryQuerySeesItself) {
  for (const Pairing pairing : {Pairing::none, Pairing::strided, Pairing::adjacent}) {
    const AttentionSettings settings = paired(1, {0, 1, 5}, pairing);
    for (Index t = 0; t < 5; ++t) {
      for (Index h = 0; h < 4; ++h) {
        const auto keys = visible_keys(t, h, 4, settings);
        EXPECT_NE(std::find(keys.begin(), keys.end(), TokenHead{t, h}), keys.end());
      }
    }
  }
}

TEST(Visibility, DocumentStartSkipsEmptyDocuments) {
  const std::vector<Index> cu = {0, 0, 3, 3, 3, 7, 7};
  EXPECT_EQ(document_start(0, cu), 0);
  EXPECT_EQ(document_start(2, cu), 0);
  EXPECT_EQ(document_start(3, cu), 3);
  EXPECT_EQ(document_start(6, cu), 3);
  EXPECT_THROW(document_start(7, cu), InputError);
  EXPECT_THROW(document_start(-1, cu), InputError);
}

std::string refusal(Index tokens, Index heads, const AttentionSettings& settings) {
  return pairedhead::refusal([&] { check_attention(tokens, heads, settings); });
}

TEST(Visibility, RefusesBadSettingsWithASentence) {
  EXPECT_EQ(refusal(4, 2, paired(3, {0, 4})), "accepted");
  EXPECT_EQ(refusal(4, 3, paired(3, {0, 4})),
            "attention: expected an even number of heads to pair, got 3");
  EXPECT_EQ(refusal(4, 3, paired(3, {0, 4}, Pairing::none)), "accepted");
  EXPECT_EQ(refusal(4, 2, paired(0, {0, 4})), "attention: expected window >= 1, got 0");
  EXPECT_EQ(refusal(0, 2, paired(3, {0})), "attention: expected at least 1 token, got 0");
  EXPECT_EQ(refusal(4, 0, paired(3, {0, 4})), "attention: expected at least 1 head, got 0");
  EXPECT_EQ(refusal(4, 2, paired(3, {})), "cu_seqlens: expected entry 0 to be 0, got no entry");
  EXPECT_EQ(refusal(4, 2, paired(3, {1, 4})), "cu_seqlens: expected entry 0 to be 0, got 1");
  EXPECT_EQ(refusal(4, 2, paired(3, {0, 3, 2, 4})),
            "cu_seqlens: expected entries that do not decrease, got 2 at entry 2 after 3");
  EXPECT_EQ(refusal(4, 2, paired(3, {0, 3})),
            "cu_seqlens: expected the last entry to be the number of tokens 4, got 3");
}

}  // namespace
}  // namespace pairedhead::reference
