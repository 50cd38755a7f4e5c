#pragma once

namespace pairedhead::gpu {

// Every gate is made from the first channels of a stream, so many of them (SPEC §3.1, §3.3, §3.6).
inline constexpr int gate_channels = 12;

}  // namespace pairedhead::gpu
