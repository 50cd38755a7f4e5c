#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "gpu/kernels/launch.cuh"

// Sums in an order that depends on nothing but the shape: two runs give the same bits.

namespace pairedhead::gpu {

constexpr int warp_threads = 32;

// Which warp of its block a thread is in, and which of the warp's lanes it is.
__device__ __forceinline__ int warp_of_block() {
  return static_cast<int>(threadIdx.x) / warp_threads;
}
__device__ __forceinline__ int lane_of_warp() {
  return static_cast<int>(threadIdx.x) % warp_threads;
}

// The sum over a warp, in every lane.
__device__ inline float warp_sum(float value) {
  for (int offset = warp_threads / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  return value;
}

// The sum over a block of `threads`, in every thread. shared: room for threads / 32 floats, which
// may be used again after the call.
template <int threads>
__device__ float block_sum(float value, float* shared) {
  static_assert(threads % warp_threads == 0 && threads <= 1024);
  constexpr int warps = threads / warp_threads;
  value = warp_sum(value);
  if (lane_of_warp() == 0) shared[warp_of_block()] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < warps; ++warp) sum += shared[warp];
  __syncthreads();
  return sum;
}

// The sum over the threads of a block before this one; all call it, with a barrier between two
// calls.
template <int threads>
__device__ int sum_before(int value) {
  static_assert(threads % warp_threads == 0 && threads <= 1024);
  constexpr int warps = threads / warp_threads;
  __shared__ int of_warps[warps];
  const int lane = lane_of_warp(), warp = warp_of_block();
  int sum = value;  // up to this lane
  for (int distance = 1; distance < warp_threads; distance *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, sum, distance);
    if (lane >= distance) sum += other;
  }
  if (lane == warp_threads - 1) of_warps[warp] = sum;
  __syncthreads();
  int before = lane < warp && lane < warps ? of_warps[lane] : 0;
  for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
    before += __shfl_xor_sync(0xffffffffu, before, distance);
  }
  return before + sum - value;
}

__device__ inline void store(float* to, float value) { *to = value; }
__device__ inline void store(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }

template <class Deliver>
__global__ void sum_partials_kernel(const float* partials, int blocks, Deliver deliver) {
  constexpr int threads = 128;
  __shared__ float shared[threads / warp_threads];
  let_next_kernel_start();
  wait_for_kernel_before();
  float sum = 0;
  for (int block = static_cast<int>(threadIdx.x); block < blocks; block += threads) {
    sum += partials[static_cast<long>(blockIdx.x) * blocks + block];
  }
  sum = block_sum<threads>(sum, shared);
  if (threadIdx.x == 0) deliver(static_cast<int>(blockIdx.x), sum);
}

// Calls deliver(i, the sum over blocks of partials[i * blocks + block]) on the device, once for
// each number: what the blocks of the kernel before left behind, each `numbers` sums over its
// share. That kernel may let_next_kernel_start().
template <class Deliver>
void deliver_partials(const float* partials, int blocks, int numbers, const Deliver& deliver,
                      cudaStream_t stream) {
  launch_overlapped(sum_partials_kernel<Deliver>, {dim3(static_cast<unsigned>(numbers)), 128},
                    stream, partials, blocks, deliver);
}

template <class Result>
struct StoreEach {
  Result* result;
  __device__ void operator()(int i, float sum) const { store(result + i, sum); }
};

// result[i] = that sum, fp32 or bf16.
template <class Result>
void sum_partials(const float* partials, int blocks, int numbers, Result* result,
                  cudaStream_t stream) {
  deliver_partials(partials, blocks, numbers, StoreEach<Result>{result}, stream);
}

}  // namespace pairedhead::gpu
