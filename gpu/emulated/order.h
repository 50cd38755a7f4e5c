#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace pairedhead::gpu::emulated {

// Seeded permutations: the orders in which a tile's partial sums meet. A GPU's order is fixed but
// not ours, and a verdict must not depend on it.
class Order {
 public:
  explicit Order(std::uint64_t seed) : state_(seed) {}

  // 0 ... count - 1, shuffled.
  std::vector<int> shuffled(int count) {
    std::vector<int> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next() % i]);
    return order;
  }

 private:
  // xorshift64* of a state that is never zero.
  std::uint64_t next() {
    state_ = state_ ? state_ : 0x853c49e6748fea9bull;
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545f4914f6cdd1dull) >> 16;
  }

  std::uint64_t state_;
};

}  // namespace pairedhead::gpu::emulated
