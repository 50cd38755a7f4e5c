#include "gpu/ownership.h"

#include <algorithm>

namespace pairedhead::gpu {
namespace {

void append(OwnedStretches& owned, const ParameterPlace& place, const reference::Owned& rows) {
  if (rows.rows == 0) return;
  const std::int64_t row = place.count / place.info.shape[0];
  const Stretch stretch = {place.offset + rows.first_row * row, rows.rows * row};
  std::vector<Stretch>& stretches = place.bf16() ? owned.bf16 : owned.fp32;
  if (!stretches.empty() && stretches.back().first + stretches.back().count == stretch.first) {
    stretches.back().count += stretch.count;
  } else {
    stretches.push_back(stretch);
  }
}

}  // namespace

Ownership::Ownership(const ParameterLayout& layout, int ranks)
    : all_(static_cast<std::size_t>(ranks)), alone_(static_cast<std::size_t>(ranks)) {
  std::vector<reference::ParameterInfo> table;
  for (const ParameterPlace& place : layout.places()) table.push_back(place.info);
  for (const ParameterPlace& place : layout.places()) {
    const auto rows = reference::owners(table, place.info, ranks);
    const reference::Owned whole = {0, place.info.shape[0]};
    const bool replicated = std::count(rows.begin(), rows.end(), whole) > 1;
    for (std::size_t rank = 0; rank < rows.size(); ++rank) {
      append(all_[rank], place, rows[rank]);
      if (!replicated) append(alone_[rank], place, rows[rank]);
    }
    rows_.emplace(place.info.name, rows);
  }
}

}  // namespace pairedhead::gpu
