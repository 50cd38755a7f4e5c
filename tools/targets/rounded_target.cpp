#include "tools/targets/rounded_target.h"

namespace pairedhead {

void RoundedTarget::run(const Component& component, const Parameters& parameters,
                        const Arrays& inputs, Arrays& outputs) {
  const Values values = component.reference(parameters, inputs, Rounding::nearest());
  for (auto& [key, array] : outputs) array = to_array(values.at(key), array.dtype);
}

}  // namespace pairedhead
