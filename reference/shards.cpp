#include "reference/shards.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

namespace pairedhead::reference {
namespace {

constexpr std::size_t header_bytes = 1024;
constexpr std::int32_t magic = 20240520;
constexpr std::int32_t version = 1;

[[noreturn]] void fail(const std::string& name, const std::string& field,
                       const std::string& expected, const std::string& got) {
  throw InputError(name + ": " + field + ": expected " + expected + ", got " + got);
}

// Little-endian whatever the machine is.
std::int32_t int32_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value |= std::to_integer<std::uint32_t>(bytes[offset + i]) << (8 * i);
  }
  return static_cast<std::int32_t>(value);
}

// The token count of a header, once it agrees with how large the whole file is.
std::size_t checked_count(std::span<const std::byte> header, std::uintmax_t file_bytes,
                          const std::string& name) {
  if (file_bytes < header_bytes) {
    fail(name, "header", std::to_string(header_bytes) + " bytes", std::to_string(file_bytes));
  }
  const auto require = [&](std::size_t entry, const char* field, std::int32_t expected) {
    const std::int32_t got = int32_at(header, 4 * entry);
    if (got != expected) fail(name, field, std::to_string(expected), std::to_string(got));
  };
  require(0, "magic number", magic);
  require(1, "version", version);
  const std::int32_t count = int32_at(header, 8);
  if (count < 0) fail(name, "token count", "at least 0", std::to_string(count));
  const std::uintmax_t expected = header_bytes + 2 * static_cast<std::uintmax_t>(count);
  if (file_bytes != expected) {
    fail(name, "size", std::to_string(expected) + " bytes for " + std::to_string(count) + " tokens",
         std::to_string(file_bytes));
  }
  return static_cast<std::size_t>(count);
}

Tokens decode(std::span<const std::byte> body, const std::string& name, Index vocabulary) {
  Tokens tokens(body.size() / 2);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto low = std::to_integer<unsigned>(body[2 * i]);
    const auto high = std::to_integer<unsigned>(body[2 * i + 1]);
    tokens[i] = static_cast<std::uint16_t>(low | high << 8);
    if (tokens[i] >= vocabulary) {
      fail(name, "token " + std::to_string(i), "less than " + std::to_string(vocabulary),
           std::to_string(tokens[i]));
    }
  }
  return tokens;
}

}  // namespace

Tokens parse_shard(std::span<const std::byte> bytes, const std::string& name, Index vocabulary) {
  checked_count(bytes, bytes.size(), name);
  return decode(bytes.subspan(header_bytes), name, vocabulary);
}

Tokens read_shard(const std::filesystem::path& file, Index vocabulary) {
  const std::string name = file.string();
  std::error_code error;
  const std::uintmax_t file_bytes = std::filesystem::file_size(file, error);
  std::ifstream in(file, std::ios::binary);
  if (error || !in) {
    fail(name, "file", "one that can be read", error ? error.message() : "none");
  }
  const auto read = [&](std::vector<std::byte>& bytes) {
    const auto wanted = static_cast<std::streamsize>(bytes.size());
    if (!in.read(reinterpret_cast<char*>(bytes.data()), wanted)) {
      fail(name, "contents", std::to_string(wanted) + " more bytes", std::to_string(in.gcount()));
    }
  };
  std::vector<std::byte> header(std::min<std::uintmax_t>(header_bytes, file_bytes));
  read(header);
  std::vector<std::byte> body(2 * checked_count(header, file_bytes, name));
  read(body);
  return decode(body, name, vocabulary);
}

std::vector<std::byte> encode_shard(const Tokens& tokens) {
  std::vector<std::byte> bytes(header_bytes + 2 * tokens.size());
  const std::array<std::uint32_t, 3> header = {magic, version,
                                               static_cast<std::uint32_t>(tokens.size())};
  for (std::size_t i = 0; i < 4 * header.size(); ++i) {
    bytes[i] = static_cast<std::byte>(header[i / 4] >> (8 * (i % 4)));
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    bytes[header_bytes + 2 * i] = static_cast<std::byte>(tokens[i] & 0xff);
    bytes[header_bytes + 2 * i + 1] = static_cast<std::byte>(tokens[i] >> 8);
  }
  return bytes;
}

std::vector<std::filesystem::path> shard_files(const std::string& pattern) {
  glob_t found = {};
  const int status = glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<std::string> names;
  if (status == 0) names.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  if (names.empty()) fail(pattern, "shards", "at least one file of that pattern", "none");
  std::sort(names.begin(), names.end());  // by bytes, whatever the locale
  return {names.begin(), names.end()};
}

}  // namespace pairedhead::reference
