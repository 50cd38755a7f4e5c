#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "gpu/error.h"
#include "gpu/kernels/alignment.h"

// Kernels that move each element by itself, limited by memory.

namespace pairedhead::gpu {

// n neighbours in memory, one access of 16 bytes or as many as it takes.
template <class T, int n>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Pack {
  T value[n];
  __device__ T& operator[](int i) { return value[i]; }
  __device__ const T& operator[](int i) const { return value[i]; }
};

template <int n, class T>
__device__ __forceinline__ Pack<T, n> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, n>*>(from);
}

template <int n, class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, n>& pack) {
  *reinterpret_cast<Pack<T, n>*>(to) = pack;
}

constexpr int pack_width = 8;  // 16 bytes of bf16

// What one thread does of `count` elements in packs, the rest of them one by one. Of `threads`
// threads; element_threads() says how many there must be.
template <int width, class Body>
__device__ __forceinline__ void move_elements(std::int64_t thread, std::int64_t count,
                                              const Body& body) {
  const std::int64_t packs = count / width;
  if (thread < packs) {
    body.template operator()<width>(thread * width);
  } else if (packs * width + (thread - packs) < count) {
    body.template operator()<1>(packs * width + (thread - packs));
  }
}
inline std::int64_t element_threads(std::int64_t count, int width) {
  return count / width + count % width;
}

template <int width, int threads, class Body>
__global__ void __launch_bounds__(threads) elementwise_kernel(std::int64_t count, Body body) {
  move_elements<width>(static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x, count, body);
}

// body.operator()<n>(first) on the device moves elements first ... first + n - 1, n being
// pack_width where `aligned` says that every array allows it.
template <class Body>
void launch_elementwise(std::int64_t count, bool aligned, const Body& body, cudaStream_t stream) {
  if (count == 0) return;
  constexpr int threads = 256;
  const auto blocks = [&](int width) {
    return static_cast<unsigned>((element_threads(count, width) + threads - 1) / threads);
  };
  if (aligned) {
    elementwise_kernel<pack_width, threads>
        <<<blocks(pack_width), threads, 0, stream>>>(count, body);
  } else {
    elementwise_kernel<1, threads><<<blocks(1), threads, 0, stream>>>(count, body);
  }
  CUDA_CHECK(cudaGetLastError());
}

}  // namespace pairedhead::gpu
