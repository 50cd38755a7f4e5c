#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pairedhead {

// Storage type of one element, as a target holds it in memory.
enum class DType { bf16, fp32, fp64, int32, uint16, e4m3, e5m2 };

// Bytes of one element.
std::size_t size_of(DType dtype);

// Unit roundoff: the largest relative error of one rounding to nearest. bf16 2^-8, fp32 2^-24,
// fp64 2^-53, e4m3 2^-4, e5m2 2^-3; 0 for the integer types, which hold their values exactly.
double unit_roundoff(DType dtype);

// "bf16", "fp32", "fp64", "int32", "uint16", "e4m3", "e5m2": the words of golden files and reports.
std::string_view name_of(DType dtype);

// The inverse of name_of. Throws InputError on any other word.
DType dtype_of(std::string_view name);

// Rounds to the nearest bf16, ties to even; NaN stays NaN, overflow becomes infinity.
// The double is rounded once (not first to fp32), so a value half way between two floats does not
// suffer a double rounding.
std::uint16_t to_bf16_bits(double value);
double from_bf16_bits(std::uint16_t bits);

// The value that `value` becomes when stored as `dtype` (nearest, ties to even; the fp8 types
// saturate) and read back.
double round_to(DType dtype, double value);

}  // namespace pairedhead
