#include "tools/verify/case_plan.h"

#include <fmt/format.h>

#include <charconv>

namespace pairedhead {

Shard parse_shard(const std::string& text) {
  Shard shard{0, 0};
  const char* const end = text.data() + text.size();
  const auto part = std::from_chars(text.data(), end, shard.part);
  if (part.ec == std::errc{} && part.ptr != end && *part.ptr == '/') {
    const auto parts = std::from_chars(part.ptr + 1, end, shard.parts);
    if (parts.ec == std::errc{} && parts.ptr == end && shard.part >= 1 &&
        shard.part <= shard.parts) {
      return shard;
    }
  }
  throw InputError(fmt::format("--shard: expected i/n with 1 <= i <= n, got \"{}\"", text));
}

std::uint64_t case_seed(std::uint64_t run_seed, const std::string& component, std::uint64_t n) {
  std::uint64_t state = run_seed;
  for (const char letter : component) {
    state = splitmix64(state) ^ static_cast<std::uint64_t>(static_cast<unsigned char>(letter));
  }
  return Random(state).split(n + 1).bits() >> 32;
}

std::vector<PlannedCase> plan_cases(const Component& component, std::uint64_t seed, Index cases,
                                    Shard shard) {
  std::vector<PlannedCase> plan;
  const auto edges = static_cast<Index>(component.edges.size());
  cases = (cases + component.one_in - 1) / component.one_in;
  for (Index n = 0; n < edges + cases; ++n) {
    PlannedCase next;
    next.seed = case_seed(seed, component.name, static_cast<std::uint64_t>(n));
    if (n < edges) {
      next.parameters = component.edges[static_cast<std::size_t>(n)];
    } else {
      const double size =
          cases == 1 ? 1.0 : static_cast<double>(n - edges) / static_cast<double>(cases - 1);
      Random random = Random(next.seed).split(0x64726177);
      next.parameters = component.draw(random, size);
    }
    component.check(next.parameters);
    if (n % shard.parts == shard.part - 1) plan.push_back(std::move(next));
  }
  return plan;
}

}  // namespace pairedhead
