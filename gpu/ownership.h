#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gpu/parameter_layout.h"
#include "reference/sharding.h"

namespace pairedhead::gpu {

// Consecutive elements of one of a layout's two buffers.
struct Stretch {
  std::int64_t first, count;
  bool operator==(const Stretch&) const = default;
};

// What a rank updates, in both buffers; in order, neighbours joined.
struct OwnedStretches {
  std::vector<Stretch> bf16, fp32;
};

// Which rank updates what (SPEC §9), in terms of a layout. What is replicated is owned by all.
class Ownership {
 public:
  // Throws what reference::owners throws.
  Ownership(const ParameterLayout& layout, int ranks);

  int ranks() const { return static_cast<int>(all_.size()); }
  // Everything that the rank updates, and what of it no other rank does.
  const OwnedStretches& all(int rank) const { return all_[static_cast<std::size_t>(rank)]; }
  const OwnedStretches& alone(int rank) const { return alone_[static_cast<std::size_t>(rank)]; }
  // By rank, the rows of a parameter. Throws std::out_of_range on a name that the layout has not.
  const std::vector<reference::Owned>& rows(const std::string& name) const {
    return rows_.at(name);
  }

 private:
  std::vector<OwnedStretches> all_, alone_;
  std::map<std::string, std::vector<reference::Owned>> rows_;
};

}  // namespace pairedhead::gpu
