#pragma once

#include <cstdint>

namespace pairedhead::gpu::emulated {

// `count` bf16 values divided by the scale in fp32, as bytes of e4m3 and of e5m2, with saturation.
void quantise_fp8(const std::uint16_t* x, std::int64_t count, float scale, std::uint8_t* e4m3,
                  std::uint8_t* e5m2);

}  // namespace pairedhead::gpu::emulated
