#pragma once

#include <filesystem>
#include <string>

namespace pairedhead {

// Writes text under a temporary name beside `path` and renames it, so that a reader sees the old
// file or the whole new one. Throws InputError if it cannot be written; nothing is left behind.
void write_file(const std::filesystem::path& path, const std::string& text);

// For the option that names a file written after long work: throws InputError at once where there
// is no folder for it.
void check_folder_of(const char* option, const std::filesystem::path& path);

// The InputError of `what`, a file or a stream, that cannot be written; `reason` is an errno or 0.
[[noreturn]] void fail_to_write(const std::string& what, int reason);

// Sends off what was printed. Throws InputError where that or anything printed before was lost:
// standard output may be a file on a full disk.
void flush_standard_output();

}  // namespace pairedhead
