#pragma once

#include <functional>

namespace pairedhead {

// Whether `action` comes to an end, by returning or by throwing, when a copy of this process runs
// it: false if it crashes there, or needs more processor time than given. The HDF5 library
// can be made to crash by a damaged file that carries no checksums, as h5py writes them; who reads
// files from outside rehearses first and reads then. The copy's output is discarded. Throws
// std::system_error if there can be no copy.
bool survives(const std::function<void()>& action, int seconds);

}  // namespace pairedhead
