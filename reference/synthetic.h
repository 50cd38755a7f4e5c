#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "reference/random.h"
#include "reference/shards.h"
#include "reference/tensor.h"

// Documents of a language whose every probability is known: a Markov chain that now and then ends,
// wanders, or copies what it has already said. The mean of -log p over a text is the loss of a
// model that knows the language; a model that scores lower sees the future.

namespace pairedhead::reference {

struct SyntheticSettings {
  Index vocabulary = 512;  // V; content is 0 .. V-2, and V-1 is BOS, which starts a document
  Index longest = 64;      // tokens of a document, BOS included
  // What follows, in the order that it is decided:
  double end = 1.0 / 32;  // the document ends: the next token is BOS
  double copy = 0.4;      // else the token that followed the last time, if there was one
  double chain = 0.9;     // else one of the previous token's successors,
  Index successors = 4;   // with probabilities 1/2, 1/4, ..., the last two equal
                          // else any content token i, with probability proportional to 1/(i+1)
};

// Throws InputError unless V is 3 to 65536, longest and successors are at least 1, and the
// probabilities lie in [0, 1].
void check_synthetic(const SyntheticSettings& settings);

class SyntheticGrammar {
 public:
  // The successors of each token are drawn from `seed`. Throws what check_synthetic throws.
  SyntheticGrammar(const SyntheticSettings& settings, std::uint64_t seed);

  const SyntheticSettings& settings() const { return settings_; }
  std::uint16_t bos() const { return static_cast<std::uint16_t>(settings_.vocabulary - 1); }

  // The probability that `next` follows a document so far, whose first token is BOS.
  double probability(std::span<const std::uint16_t> document, std::uint16_t next) const;
  // A token drawn with these probabilities, by the decisions of SyntheticSettings one after the
  // other.
  std::uint16_t draw(std::span<const std::uint16_t> document, Random& random) const;

 private:
  std::uint16_t draw_content(Random& random) const;
  std::span<const std::uint16_t> successors_of(std::uint16_t token) const;

  SyntheticSettings settings_;
  std::vector<double> cumulative_;         // [V-1], of the content tokens' own probabilities
  std::vector<std::uint16_t> successors_;  // [V, successors]
};

// A stretch of text, and -ln p of each token given its document so far (nats).
struct SyntheticText {
  Tokens tokens;
  std::vector<double> surprisal;
};

// Document after document without an end. The n-th one depends on the seed and on n only, so the
// text is the same in whatever pieces it is taken.
class SyntheticStream {
 public:
  SyntheticStream(std::shared_ptr<const SyntheticGrammar> grammar, std::uint64_t seed);

  // The next `count` >= 0 tokens. The first of the stream is a BOS of surprisal 0.
  SyntheticText next(Index count);

 private:
  void append_document();

  std::shared_ptr<const SyntheticGrammar> grammar_;
  Random source_;
  std::uint64_t documents_ = 0;
  SyntheticText pending_;      // made and not yet taken
  double next_surprisal_ = 0;  // of the BOS that starts the next document
};

}  // namespace pairedhead::reference
