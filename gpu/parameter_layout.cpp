#include "gpu/parameter_layout.h"

#include <algorithm>
#include <stdexcept>

namespace pairedhead::gpu {

namespace {
constexpr std::int64_t unit = 8;
}

ParameterLayout::ParameterLayout(const reference::Config& config, Index ranks) {
  for (const reference::ParameterInfo& info : reference::parameter_table(config, ranks)) {
    std::int64_t& end = info.dtype == DType::bf16 ? bf16_count_ : fp32_count_;
    const std::int64_t count = element_count(info.shape);
    places_.push_back({info, end, count});
    end = (end + count + unit - 1) / unit * unit;
  }
}

const ParameterPlace& ParameterLayout::at(const std::string& name) const {
  const auto found = std::find_if(places_.begin(), places_.end(), [&](const ParameterPlace& place) {
    return place.info.name == name;
  });
  if (found == places_.end()) throw std::out_of_range("ParameterLayout: no parameter " + name);
  return *found;
}

bool ParameterLayout::has(const std::string& name) const {
  return std::any_of(places_.begin(), places_.end(),
                     [&](const ParameterPlace& place) { return place.info.name == name; });
}

}  // namespace pairedhead::gpu
