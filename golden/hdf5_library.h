#pragma once

// The calls whose signature changed in HDF5 1.12 keep their 1.10 form.
#define H5_USE_110_API
#include <hdf5.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include "reference/error.h"

// What hdf5_reader.cpp and hdf5_writer.cpp both need of the HDF5 library.

namespace pairedhead::hdf5 {

// Owns one identifier of the library.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { close(); }
  // Whether the library could: it writes some of what it was given only now.
  bool close() {
    const bool good = id_ < 0 || close_(id_) >= 0;
    id_ = -1;
    return good;
  }
  bool valid() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

inline void switch_off_error_printing() {
  // Nor should the library tidy up where the program ends: after a write that failed (a full disk)
  // it crashes there.
  static const herr_t once = H5dont_atexit() | H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(once);
}

// What the library said about the innermost failure of its last call; of a failed call of the
// system only the system's own words, "No space left on device".
inline std::string last_message() {
  std::string message;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
        if (depth == 0 && error->desc) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &message);
  const std::string before = "error message = '";
  if (const auto at = message.find(before); at != std::string::npos) {
    message.erase(0, at + before.size());
    message.resize(std::min(message.find('\''), message.size()));
  }
  return message.empty() ? "an error of the HDF5 library" : message;
}

// The sentence of an InputError; `object` may be empty.
[[noreturn]] inline void fail(const std::filesystem::path& file, const std::string& object,
                              const std::string& expected, const std::string& got) {
  throw InputError(file.string() + ": " + (object.empty() ? "" : object + ": ") + "expected " +
                   expected + ", got " + got);
}

}  // namespace pairedhead::hdf5
