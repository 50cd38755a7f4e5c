#pragma once

#include <unistd.h>

#include <fstream>
#include <string>

#include "tests/tools/run_program.h"
#include "tests/tools/scratch_folder.h"

namespace pairedhead::testing {

// A disk of so many KiB that is there for one script of bash alone: the mount lies in a name space
// of the script's own and ends with it, however that may be.
class SmallDisk {
 public:
  explicit SmallDisk(int kib) : size_(std::to_string(kib) + "k") {}

  // Whether this machine lets us mount one.
  bool possible() const { return run("true").exit_code == 0; }

  // Runs the script in the disk's empty folder; $pairedhead is the program under test, $outside a
  // folder on another disk.
  Ran run(const std::string& script) const {
    const ScratchFolder folder;
    std::filesystem::create_directory(folder / "disk");
    std::ofstream(folder / "script") << "mount -t tmpfs -o size=" << size_ << " none '"
                                     << (folder / "disk").string() << "' || exit 125\n"
                                     << "cd '" << (folder / "disk").string() << "'\n"
                                     << "pairedhead=" << program() << "\n"
                                     << "outside='" << folder.path().string() << "'\n"
                                     << script << "\n";
    const std::string own = getuid() == 0 ? "unshare --mount" : "unshare --mount --map-root-user";
    return run_shell(own + " bash '" + (folder / "script").string() + "'");
  }

 private:
  std::string size_;
};

}  // namespace pairedhead::testing
