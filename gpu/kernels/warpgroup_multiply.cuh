#pragma once

#include <cstdint>

// The warpgroup matrix multiply of sm_90a, d[64 x N] += a[64 x 16] b[16 x N], bf16 with fp32
// accumulators, and the shared-memory operands it reads.
//
// Accumulators: thread t of the warpgroup (warp t / 32, lane l = t % 32) holds, for each group j of
// 8 columns, d[4j], d[4j + 1] at row 16 * warp + l / 4, columns 8j + 2 * (l % 4) and the next, and
// d[4j + 2], d[4j + 3] at the same columns eight rows below. Operand a in registers has the same
// shape: its four words for 16 columns are the packed accumulators of groups 2k and 2k + 1.
namespace pairedhead::gpu::hopper {

// Operands lie in shared memory as TMA writes boxes 64 columns wide with the 128-byte swizzle:
// [columns / 64][rows][64], each row 128 bytes, 16-byte units permuted inside groups of 8 rows.
constexpr int kChunkColumns = 64;
constexpr int kRowBytes = 128;
constexpr int kSwizzleBytes = 1024;

// An operand is named by the low word of its descriptor; the high word, groups of 8 rows 1024 bytes
// apart and the swizzle, is the same for all.
constexpr std::uint32_t kOperandHigh = (1u << 30) | (kSwizzleBytes >> 4);

// Matrix whose contraction runs along the columns ("K-major"): rows are M or N.
__device__ __forceinline__ std::uint32_t row_operand(std::uint32_t address) {
  return (address & 0x3FFFF) >> 4 | (1u << 16);
}
// Matrix whose contraction runs along the rows ("MN-major"): columns are N, `rows` a chunk.
__device__ __forceinline__ std::uint32_t column_operand(std::uint32_t address, int rows) {
  return (address & 0x3FFFF) >> 4 | static_cast<std::uint32_t>((rows * kRowBytes) >> 4) << 16;
}
// The step to the next 16 of the contraction.
__device__ __forceinline__ std::uint32_t row_operand_step(int k, int rows) {
  return static_cast<std::uint32_t>((k / 4) * rows * kRowBytes + (k % 4) * 32) >> 4;
}
__device__ __forceinline__ std::uint32_t column_operand_step(int k) {
  return static_cast<std::uint32_t>(k * 16 * kRowBytes) >> 4;
}

// Orders register and shared-memory accesses before the multiplies that follow.
__device__ __forceinline__ void multiply_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void multiply_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits until at most kPending committed groups are unfinished.
template <int kPending>
__device__ __forceinline__ void multiply_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Keeps the compiler from moving reads of asynchronously written registers above a wait.
template <int kCount>
__device__ __forceinline__ void settle(float (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}
template <int kCount>
__device__ __forceinline__ void settle(std::uint32_t (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

#define ACCUMULATORS_8(d, i)                                                                  \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define ACCUMULATORS_32(d, i)                                                \
  ACCUMULATORS_8(d, i), ACCUMULATORS_8(d, i + 8), ACCUMULATORS_8(d, i + 16), \
      ACCUMULATORS_8(d, i + 24)

// a and b in shared memory, both contracted along their columns.
__device__ __forceinline__ void multiply(float (&d)[32], std::uint32_t a, std::uint32_t b,
                                         bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      ".reg .b64 a, b;\n"
      "setp.ne.b32 accumulate, %34, 0;\n"
      "mov.b64 a, {%32, %35};\n"
      "mov.b64 b, {%33, %35};\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31 "
      "}, a, b, accumulate, 1, 1, 0, 0;\n"
      "}"
      : ACCUMULATORS_32(d, 0)
      : "r"(a), "r"(b), "r"(static_cast<int>(accumulate)), "n"(kOperandHigh));
}

// a in registers, b in shared memory, contracted along its rows.
__device__ __forceinline__ void multiply(float (&d)[32], const std::uint32_t* a, std::uint32_t b,
                                         bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      ".reg .b64 b;\n"
      "setp.ne.b32 accumulate, %37, 0;\n"
      "mov.b64 b, {%36, %38};\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31 "
      "}, {%32, %33, %34, %35}, b, accumulate, 1, 1, 1;\n"
      "}"
      : ACCUMULATORS_32(d, 0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b), "r"(static_cast<int>(accumulate)),
        "n"(kOperandHigh));
}

// a and b in shared memory, both contracted along their columns.
__device__ __forceinline__ void multiply(float (&d)[64], std::uint32_t a, std::uint32_t b,
                                         bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      ".reg .b64 a, b;\n"
      "setp.ne.b32 accumulate, %66, 0;\n"
      "mov.b64 a, {%64, %67};\n"
      "mov.b64 b, {%65, %67};\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63 "
      "}, a, b, accumulate, 1, 1, 0, 0;\n"
      "}"
      : ACCUMULATORS_32(d, 0), ACCUMULATORS_32(d, 32)
      : "r"(a), "r"(b), "r"(static_cast<int>(accumulate)), "n"(kOperandHigh));
}

// a in registers, b in shared memory, contracted along its rows.
__device__ __forceinline__ void multiply(float (&d)[64], const std::uint32_t* a, std::uint32_t b,
                                         bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      ".reg .b64 b;\n"
      "setp.ne.b32 accumulate, %69, 0;\n"
      "mov.b64 b, {%68, %70};\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63 "
      "}, {%64, %65, %66, %67}, b, accumulate, 1, 1, 1;\n"
      "}"
      : ACCUMULATORS_32(d, 0), ACCUMULATORS_32(d, 32)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b), "r"(static_cast<int>(accumulate)),
        "n"(kOperandHigh));
}

#undef ACCUMULATORS_32
#undef ACCUMULATORS_8

}  // namespace pairedhead::gpu::hopper
