#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <string>

namespace pairedhead::gpu {

// What this project uses of NCCL's interface, version 2. The library is loaded when it is first
// needed, so that neither building nor one rank needs it; a rank finds it as every program does
// (LD_LIBRARY_PATH, ld.so.conf). Values and layouts are those of nccl.h.
struct NcclLibrary {
  using Result = int;
  using Comm = struct NcclComm*;
  struct UniqueId {
    std::array<char, 128> bytes;
  };
  static constexpr Result success = 0, in_progress = 7;
  static constexpr int bytes = 1;  // ncclUint8

  Result (*get_version)(int* version);
  Result (*get_unique_id)(UniqueId* id);
  Result (*comm_init_rank)(Comm* comm, int size, UniqueId id, int rank);
  Result (*comm_destroy)(Comm comm);
  Result (*comm_abort)(Comm comm);
  Result (*comm_get_async_error)(Comm comm, Result* error);
  Result (*group_start)();
  Result (*group_end)();
  Result (*send)(const void* data, std::size_t count, int type, int peer, Comm comm,
                 cudaStream_t stream);
  Result (*receive)(void* data, std::size_t count, int type, int peer, Comm comm,
                    cudaStream_t stream);
  const char* (*error_string)(Result result);

  // Throws DeviceUnavailable where there is no libnccl.so.2, or one without these functions.
  static const NcclLibrary& load();

  // Throws CudaError with NCCL's own words.
  void check(Result result, const char* call) const;
  std::string version() const;  // "2.28.9"
};

}  // namespace pairedhead::gpu
