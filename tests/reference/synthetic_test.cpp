#include "reference/synthetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace pairedhead::reference {
namespace {

// Small enough that every document prefix can be counted: at most five tokens out of four.
SyntheticSettings countable() {
  SyntheticSettings settings;
  settings.vocabulary = 5;
  settings.longest = 5;
  settings.end = 0.2;
  settings.copy = 0.5;
  settings.chain = 0.75;
  settings.successors = 2;
  return settings;
}

SyntheticStream stream(const SyntheticSettings& settings, std::uint64_t grammar,
                       std::uint64_t seed) {
  return {std::make_shared<const SyntheticGrammar>(settings, grammar), seed};
}

// How often each token followed each document prefix.
std::map<Tokens, std::vector<double>> counts_by_prefix(const Tokens& tokens, Index vocabulary) {
  std::map<Tokens, std::vector<double>> counts;
  Tokens prefix = {tokens[0]};
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    auto& row = counts.try_emplace(prefix, static_cast<std::size_t>(vocabulary), 0.0).first->second;
    row[tokens[i]] += 1;
    if (tokens[i] == tokens[0]) prefix.clear();
    prefix.push_back(tokens[i]);
  }
  return counts;
}

TEST(Synthetic, ProbabilitiesOfEveryPrefixAddUpToOne) {
  const SyntheticSettings tiny;
  for (const SyntheticSettings& settings : {countable(), tiny}) {
    const SyntheticGrammar grammar(settings, 3);
    Random random(7);
    for (int n = 0; n < 20; ++n) {
      Tokens document = {grammar.bos()};
      while (true) {
        double sum = 0;
        for (Index next = 0; next < settings.vocabulary; ++next) {
          sum += grammar.probability(document, static_cast<std::uint16_t>(next));
        }
        ASSERT_NEAR(sum, 1, 1e-13) << "after " << document.size() << " tokens";
        const std::uint16_t next = grammar.draw(document, random);
        ASSERT_GT(grammar.probability(document, next), 0);
        if (next == grammar.bos()) break;
        document.push_back(next);
      }
      ASSERT_LE(static_cast<Index>(document.size()), settings.longest);
    }
  }
}

// One successor and nothing else: every decision can be followed by hand.
TEST(Synthetic, ProbabilitiesWorkedByHand) {
  SyntheticSettings settings = countable();
  settings.successors = 1;
  settings.chain = 0;  // content by 1/(i+1) alone: 12, 6, 4, 3 of 25
  const SyntheticGrammar grammar(settings, 1);
  const Tokens fresh = {4, 0, 1};
  EXPECT_DOUBLE_EQ(grammar.probability(fresh, 4), 0.2);
  EXPECT_NEAR(grammar.probability(fresh, 0), 0.8 * 12 / 25, 1e-15);
  EXPECT_NEAR(grammar.probability(fresh, 3), 0.8 * 3 / 25, 1e-15);
  const Tokens repeated = {4, 0, 1, 0};  // 1 followed the last 0
  EXPECT_NEAR(grammar.probability(repeated, 1), 0.8 * (0.5 + 0.5 * 6 / 25), 1e-15);
  EXPECT_NEAR(grammar.probability(repeated, 2), 0.8 * 0.5 * 4 / 25, 1e-15);
  const Tokens full = {4, 0, 1, 0, 0};
  EXPECT_EQ(grammar.probability(full, 4), 1);
  EXPECT_EQ(grammar.probability(full, 0), 0);
}

// Twice the log likelihood ratio between the counts' own entropy and the recorded -ln p is chi
// squared; the counts know nothing of probability().
TEST(Synthetic, RecordedSurprisalIsTheEntropyOfTheCounts) {
  const SyntheticText text = stream(countable(), 3, 11).next(400000);
  double entropy = 0, freedom = 0, tokens = 0;
  for (const auto& [prefix, row] : counts_by_prefix(text.tokens, 5)) {
    const double total = std::accumulate(row.begin(), row.end(), 0.0);
    for (const double count : row) {
      if (count > 0) entropy -= count * std::log(count / total);
      freedom += count > 0 ? 1 : 0;
    }
    freedom -= 1;
    tokens += total;
  }
  ASSERT_EQ(tokens, 399999);
  const double recorded = std::accumulate(text.surprisal.begin(), text.surprisal.end(), 0.0);
  const double ratio = 2 * (recorded - entropy);
  EXPECT_GT(freedom, 100);
  EXPECT_LE(std::abs(ratio - freedom), 5 * std::sqrt(2 * freedom)) << freedom;
}

TEST(Synthetic, TheFirstTokenIsCertainAndTheTextIsOfDocuments) {
  const SyntheticText text = stream({}, 1, 2).next(20000);
  EXPECT_EQ(text.tokens[0], 511);
  EXPECT_EQ(text.surprisal[0], 0);
  const SyntheticGrammar grammar({}, 1);
  Tokens document = {511};
  Index documents = 1;
  for (std::size_t i = 1; i < text.tokens.size(); ++i) {
    ASSERT_DOUBLE_EQ(text.surprisal[i], -std::log(grammar.probability(document, text.tokens[i])))
        << "token " << i;
    if (text.tokens[i] == 511) document.clear(), ++documents;
    document.push_back(text.tokens[i]);
  }
  EXPECT_GT(documents, 20000 / 64);
}

TEST(Synthetic, TheTextDoesNotDependOnItsPieces) {
  const SyntheticText whole = stream({}, 5, 6).next(1000);
  SyntheticStream pieces = stream({}, 5, 6);
  SyntheticText joined;
  for (const Index count : {1, 0, 2, 63, 64, 65, 500, 305}) {
    const SyntheticText piece = pieces.next(count);
    joined.tokens.insert(joined.tokens.end(), piece.tokens.begin(), piece.tokens.end());
    joined.surprisal.insert(joined.surprisal.end(), piece.surprisal.begin(), piece.surprisal.end());
  }
  EXPECT_EQ(joined.tokens, whole.tokens);
  EXPECT_EQ(joined.surprisal, whole.surprisal);
}

TEST(Synthetic, SeedsNameTheLanguageAndTheText) {
  const Tokens text = stream({}, 5, 6).next(500).tokens;
  EXPECT_EQ(text, stream({}, 5, 6).next(500).tokens);
  EXPECT_NE(text, stream({}, 5, 7).next(500).tokens);
  EXPECT_NE(text, stream({}, 6, 6).next(500).tokens);
}

TEST(Synthetic, RefusesWhatIsNoLanguage) {
  const auto refused = [](auto change) {
    SyntheticSettings settings;
    change(settings);
    EXPECT_THROW(check_synthetic(settings), InputError);
  };
  refused([](auto& s) { s.vocabulary = 2; });
  refused([](auto& s) { s.vocabulary = 65537; });
  refused([](auto& s) { s.longest = 0; });
  refused([](auto& s) { s.successors = 0; });
  refused([](auto& s) { s.end = -0.1; });
  refused([](auto& s) { s.copy = 1.1; });
  refused([](auto& s) { s.chain = std::nan(""); });
  EXPECT_THROW(stream({}, 1, 1).next(-1), InputError);
}

}  // namespace
}  // namespace pairedhead::reference
