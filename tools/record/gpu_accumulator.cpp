#include "tools/record/gpu_accumulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "gpu/device_buffer.h"
#include "gpu/kernels/linear.h"
#include "reference/fp8.h"
#include "tools/components/component.h"

namespace pairedhead {
namespace {

constexpr std::int64_t extent = 16, depth = 1024;
constexpr int largest_exponent = 14;  // of the first product

// A product whose first element has two terms, 2^14 at depth 0 and 2^(14 - distance) at `place`.
class TwoTerms {
 public:
  explicit TwoTerms(bool fast_accumulation)
      : product_{.rows = extent,
                 .columns = extent,
                 .depth = depth,
                 .transpose_b = true,
                 .operands = gpu::Product::Operands::e4m3,
                 .result = gpu::Product::Result::fp32,
                 .fast_accumulation = fast_accumulation} {}

  double sum(std::int64_t place, int distance) {
    const int smaller = largest_exponent - distance;
    upload(a_, place, smaller / 2);
    upload(b_, place, smaller - smaller / 2);
    algebra_.multiply(product_, a_.data(), b_.data(), nullptr, result_.data(), stream_);
    float first = 0;
    CUDA_CHECK(
        cudaMemcpyAsync(&first, result_.data(), sizeof first, cudaMemcpyDeviceToHost, stream_));
    stream_.synchronize();
    return static_cast<double>(first);
  }

  // The significant bits with which the smaller term is still there, whole.
  int kept_bits(std::int64_t place) {
    int kept = 0;
    for (int distance = 1; distance < 24; ++distance) {
      const double whole = std::exp2(largest_exponent) + std::exp2(largest_exponent - distance);
      if (sum(place, distance) == whole) kept = distance + 1;
    }
    return kept;
  }

 private:
  // Row 0: 2^7 at depth 0, 2^exponent at `place`; all else is zero.
  void upload(const gpu::DeviceMemory& matrix, std::int64_t place, int exponent) {
    std::vector<std::uint8_t> codes(extent * depth);
    codes[0] = to_fp8_bits(DType::e4m3, std::exp2(largest_exponent / 2));
    codes[static_cast<std::size_t>(place)] = to_fp8_bits(DType::e4m3, std::exp2(exponent));
    CUDA_CHECK(cudaMemcpyAsync(matrix.data(), codes.data(), codes.size(), cudaMemcpyHostToDevice,
                               stream_));
    stream_.synchronize();
  }

  gpu::Stream stream_;
  gpu::LinearAlgebra algebra_;
  gpu::Product product_;
  gpu::DeviceMemory a_{extent * depth}, b_{extent * depth};
  gpu::DeviceMemory result_{extent * extent * sizeof(float)};
};

}  // namespace

RecordedCheck check_fp8_accumulator() {
  TwoTerms fast(true), promoted(false);
  const int fast_bits = std::min(fast.kept_bits(1), fast.kept_bits(depth / 2));
  const int near_bits = promoted.kept_bits(1), far_bits = promoted.kept_bits(depth / 2);
  const int expected = 1 - std::ilogb(fp8_accumulator);
  return {"fp8 accumulator", fast_bits == expected && near_bits == expected,
          fmt::format("{} bits kept with fast accumulation; without, {} among neighbours, {} over "
                      "the depth; the error scale stands on {}",
                      fast_bits, near_bits, far_bits, expected)};
}

}  // namespace pairedhead
