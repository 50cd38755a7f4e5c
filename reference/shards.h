#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "reference/tensor.h"

// The `.bin` files of tokens (SPEC §8 "File"): 256 int32, little-endian: magic 20240520, version 1,
// token count; then that many uint16 tokens.

namespace pairedhead::reference {

using Tokens = std::vector<std::uint16_t>;

// The tokens of a shard that lies in memory; `name` is the file in a sentence. Throws InputError on
// a short header, a wrong magic or version, a negative count, fewer or more bytes than the count
// says, or a token >= vocabulary.
Tokens parse_shard(std::span<const std::byte> bytes, const std::string& name, Index vocabulary);

// The same from a file; nothing is allocated before the header agrees with the file's size. Throws
// InputError also where there is no readable file.
Tokens read_shard(const std::filesystem::path& file, Index vocabulary);

// The inverse of parse_shard.
std::vector<std::byte> encode_shard(const Tokens& tokens);

// The files that a pattern such as "data/train_*.bin" matches, in lexicographic order of their
// paths. Throws InputError if there is none.
std::vector<std::filesystem::path> shard_files(const std::string& pattern);

}  // namespace pairedhead::reference
