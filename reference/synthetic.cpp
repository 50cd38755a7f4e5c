#include "reference/synthetic.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace pairedhead::reference {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& expected,
                       const std::string& got) {
  throw InputError("synthetic language: " + what + ": expected " + expected + ", got " + got);
}

// Of the j-th of `count` successors: 1/2, 1/4, ... and the last as much as the one before.
double successor_weight(std::size_t j, std::size_t count) {
  return std::ldexp(1.0, -static_cast<int>(std::min(j + 1, count - 1)));
}

// What followed the last earlier occurrence of the document's last token.
std::optional<std::uint16_t> copied(std::span<const std::uint16_t> document) {
  for (std::size_t i = document.size() - 1; i-- > 0;) {
    if (document[i] == document.back()) return document[i + 1];
  }
  return std::nullopt;
}

}  // namespace

void check_synthetic(const SyntheticSettings& s) {
  if (s.vocabulary < 3 || s.vocabulary > 65536) {
    fail("vocabulary", "3 to 65536", std::to_string(s.vocabulary));
  }
  if (s.longest < 1) fail("longest document", "at least 1 token", std::to_string(s.longest));
  if (s.successors < 1) fail("successors", "at least 1", std::to_string(s.successors));
  for (const double p : {s.end, s.copy, s.chain}) {
    if (!(p >= 0 && p <= 1)) fail("probability", "0 to 1", std::to_string(p));
  }
}

SyntheticGrammar::SyntheticGrammar(const SyntheticSettings& settings, std::uint64_t seed)
    : settings_(settings) {
  check_synthetic(settings);
  const auto content = static_cast<std::size_t>(settings.vocabulary - 1);
  double sum = 0;
  for (std::size_t i = 0; i < content; ++i) {
    sum += 1 / static_cast<double>(i + 1);
    cumulative_.push_back(sum);
  }
  for (double& p : cumulative_) p /= sum;
  Random random(seed);
  for (Index i = 0; i < settings.vocabulary * settings.successors; ++i) {
    successors_.push_back(draw_content(random));
  }
}

std::uint16_t SyntheticGrammar::draw_content(Random& random) const {
  const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), random.uniform01());
  return static_cast<std::uint16_t>(found - cumulative_.begin());
}

std::span<const std::uint16_t> SyntheticGrammar::successors_of(std::uint16_t token) const {
  const auto count = static_cast<std::size_t>(settings_.successors);
  return std::span(successors_).subspan(token * count, count);
}

double SyntheticGrammar::probability(std::span<const std::uint16_t> document,
                                     std::uint16_t next) const {
  const bool full = static_cast<Index>(document.size()) >= settings_.longest;
  if (next == bos()) return full ? 1 : settings_.end;
  if (full) return 0;
  const double any = (next == 0 ? cumulative_[0] : cumulative_[next] - cumulative_[next - 1u]);
  const std::span successors = successors_of(document.back());
  double chain = 0;
  for (std::size_t j = 0; j < successors.size(); ++j) {
    if (successors[j] == next) chain += successor_weight(j, successors.size());
  }
  const double fresh = settings_.chain * chain + (1 - settings_.chain) * any;
  const std::optional<std::uint16_t> copy = copied(document);
  const double content =
      !copy ? fresh : settings_.copy * (*copy == next ? 1 : 0) + (1 - settings_.copy) * fresh;
  return (1 - settings_.end) * content;
}

std::uint16_t SyntheticGrammar::draw(std::span<const std::uint16_t> document,
                                     Random& random) const {
  if (static_cast<Index>(document.size()) >= settings_.longest) return bos();
  if (random.uniform01() < settings_.end) return bos();
  if (const auto copy = copied(document); copy && random.uniform01() < settings_.copy) {
    return *copy;
  }
  if (random.uniform01() >= settings_.chain) return draw_content(random);
  const std::span successors = successors_of(document.back());
  std::size_t j = 0;
  while (j + 1 < successors.size() && random.uniform01() < 0.5) ++j;
  return successors[j];
}

SyntheticStream::SyntheticStream(std::shared_ptr<const SyntheticGrammar> grammar,
                                 std::uint64_t seed)
    : grammar_(std::move(grammar)), source_(seed) {}

void SyntheticStream::append_document() {
  Random random = source_.split(documents_++);
  Tokens document = {grammar_->bos()};
  std::vector<double> surprisal = {next_surprisal_};
  while (true) {
    const std::uint16_t next = grammar_->draw(document, random);
    const double nats = -std::log(grammar_->probability(document, next));
    if (next == grammar_->bos()) {
      next_surprisal_ = nats;
      break;
    }
    document.push_back(next);
    surprisal.push_back(nats);
  }
  pending_.tokens.insert(pending_.tokens.end(), document.begin(), document.end());
  pending_.surprisal.insert(pending_.surprisal.end(), surprisal.begin(), surprisal.end());
}

SyntheticText SyntheticStream::next(Index count) {
  if (count < 0) fail("tokens to make", "at least 0", std::to_string(count));
  while (static_cast<Index>(pending_.tokens.size()) < count) append_document();
  SyntheticText text;
  text.tokens.assign(pending_.tokens.begin(), pending_.tokens.begin() + count);
  text.surprisal.assign(pending_.surprisal.begin(), pending_.surprisal.begin() + count);
  pending_.tokens.erase(pending_.tokens.begin(), pending_.tokens.begin() + count);
  pending_.surprisal.erase(pending_.surprisal.begin(), pending_.surprisal.begin() + count);
  return text;
}

}  // namespace pairedhead::reference
