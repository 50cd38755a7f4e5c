#pragma once

#include <filesystem>

namespace pairedhead {

// Whether `action` on a file comes to an end, by returning or by throwing, when a copy of this
// process runs it: false if it crashes there, or needs more processor time than given. The HDF5
// library can be made to crash by a damaged file that carries no checksums, as h5py writes them;
// who reads files from outside rehearses first and reads then. The copy's output is discarded.
// `action` must not depend on what this process did since the first rehearsal. Throws
// std::system_error if there can be no copy.
bool survives(void (*action)(const std::filesystem::path&), const std::filesystem::path& file,
              int seconds);

// Copies are made of a process that has stood aside since the first rehearsal, or since this call:
// a copy of one with several threads may hold a lock for ever that another thread had taken. A
// program with threads calls it before it starts them.
void stand_by_for_rehearsals();

}  // namespace pairedhead
