#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <string>
#include <vector>

#include "reference/parameters.h"

namespace pairedhead::gpu {

// Where a parameter lies: in the buffer of its dtype, from this element on.
struct ParameterPlace {
  reference::ParameterInfo info;
  std::int64_t offset, count;
  bool bf16() const { return info.dtype == DType::bf16; }
};

// All parameters of a model in two buffers, one a dtype, in the order of SPEC §2's table. Matrices
// of one family lie one behind the other, so that a family is one launch; places begin at multiples
// of 8 elements. Gradients, their sums and the moments have the same layout.
class ParameterLayout {
 public:
  // Throws what reference::parameter_table throws.
  explicit ParameterLayout(const reference::Config& config, Index ranks = 1);

  const std::vector<ParameterPlace>& places() const { return places_; }
  // Throws std::out_of_range on a name that the table has not.
  const ParameterPlace& at(const std::string& name) const;
  bool has(const std::string& name) const;

  std::int64_t bf16_count() const { return bf16_count_; }  // elements, those between places too
  std::int64_t fp32_count() const { return fp32_count_; }

 private:
  std::vector<ParameterPlace> places_;
  std::int64_t bf16_count_ = 0, fp32_count_ = 0;
};

// Two buffers of a layout on the device: the parameters, or gradients in the parameters' dtypes.
struct ParameterBuffers {
  __nv_bfloat16* bf16;
  float* fp32;

  __nv_bfloat16* matrix(const ParameterPlace& place) const { return bf16 + place.offset; }
  float* vector(const ParameterPlace& place) const { return fp32 + place.offset; }
};

}  // namespace pairedhead::gpu
