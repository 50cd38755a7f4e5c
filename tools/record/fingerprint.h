#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace pairedhead {

// Fingerprint of what a verification stands on: file name -> 16 hex digits of XXH64. Sources (.h
// .cpp .cu .cuh under gpu/ and reference/) are hashed without comments and white space, so that
// only a change of meaning alters them; goldens (golden/*.h5) as they are. Throws InputError if
// root has no gpu/ folder.
std::map<std::string, std::string> source_fingerprint(const std::filesystem::path& root);

// One hash over all of it.
std::string combined(const std::map<std::string, std::string>& fingerprint);

// The program text of C++ or CUDA without comments and without white space outside of literals.
std::string stripped_source(const std::string& text);

// 16 hex digits of XXH64.
std::string hash_of(const void* data, std::size_t bytes);

}  // namespace pairedhead
