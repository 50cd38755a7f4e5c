#include "gpu/comm/nccl_library.h"

#include <dlfcn.h>

#include "gpu/device.h"
#include "gpu/error.h"

namespace pairedhead::gpu {
namespace {

constexpr const char* file = "libnccl.so.2";

template <class Function>
void find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function == nullptr) {
    throw DeviceUnavailable(std::string("several ranks need NCCL: expected ") + name + " in " +
                            file + ", got none");
  }
}

NcclLibrary open() {
  // Never closed: NCCL's threads may outlive its communicators.
  void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw DeviceUnavailable(std::string("several ranks need NCCL: ") + dlerror());
  }
  NcclLibrary nccl;
  find(library, "ncclGetVersion", nccl.get_version);
  find(library, "ncclGetUniqueId", nccl.get_unique_id);
  find(library, "ncclCommInitRank", nccl.comm_init_rank);
  find(library, "ncclCommDestroy", nccl.comm_destroy);
  find(library, "ncclCommAbort", nccl.comm_abort);
  find(library, "ncclCommGetAsyncError", nccl.comm_get_async_error);
  find(library, "ncclGroupStart", nccl.group_start);
  find(library, "ncclGroupEnd", nccl.group_end);
  find(library, "ncclSend", nccl.send);
  find(library, "ncclRecv", nccl.receive);
  find(library, "ncclGetErrorString", nccl.error_string);
  return nccl;
}

}  // namespace

const NcclLibrary& NcclLibrary::load() {
  static const NcclLibrary library = open();
  return library;
}

void NcclLibrary::check(Result result, const char* call) const {
  if (result == success) return;
  throw CudaError(std::string(call) + ": " + error_string(result) +
                  " (NCCL_DEBUG=WARN makes NCCL say more)");
}

std::string NcclLibrary::version() const {
  int version = 0;
  check(get_version(&version), "ncclGetVersion");
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace pairedhead::gpu
