#include "tools/components/rows.h"

namespace pairedhead {

std::vector<Component> data_rows() { return {}; }

}  // namespace pairedhead
