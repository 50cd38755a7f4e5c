#include "tools/verify/selection.h"

#include <algorithm>

namespace pairedhead {

std::vector<const Component*> select_components(const std::vector<std::string>& names) {
  for (const std::string& name : names) component_named(name);
  std::vector<const Component*> selected;
  for (const Component& component : component_table()) {
    if (names.empty() || std::count(names.begin(), names.end(), component.name) > 0) {
      selected.push_back(&component);
    }
  }
  return selected;
}

}  // namespace pairedhead
