#include "gpu/kernels/mutant.h"

#ifdef PAIREDHEAD_MUTANTS

namespace pairedhead::gpu {
namespace {

constexpr KernelMutantInfo table[] = {
#define X(name, component, trap, what) {KernelMutant::name, component, trap, what},
    PAIREDHEAD_KERNEL_MUTANT_LIST(X)
#undef X
};

}  // namespace

KernelMutant& active_kernel_mutant() {
  static KernelMutant active = KernelMutant::none;
  return active;
}

std::string_view name_of(KernelMutant mutant) {
  switch (mutant) {
    case KernelMutant::none:
      return "none";
#define X(name, component, trap, what) \
  case KernelMutant::name:             \
    return #name;
      PAIREDHEAD_KERNEL_MUTANT_LIST(X)
#undef X
  }
  return "unknown";
}

std::span<const KernelMutantInfo> kernel_mutant_table() { return table; }

}  // namespace pairedhead::gpu

#endif
