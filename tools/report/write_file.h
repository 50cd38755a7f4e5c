#pragma once

#include <filesystem>
#include <string>

namespace pairedhead {

// Writes text under a temporary name beside `path` and renames it, so that a reader sees the old
// file or the whole new one. Throws InputError if it cannot be written; nothing is left behind.
void write_file(const std::filesystem::path& path, const std::string& text);

}  // namespace pairedhead
