#include "tools/info/info_command.h"

#include <H5public.h>
#include <fmt/format.h>
#include <omp.h>

#include <Eigen/Core>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "reference/spec_version.h"
#include "tools/components/component.h"
#include "tools/record/fingerprint.h"

#ifdef PAIREDHEAD_HAS_CUDA
#include "gpu/device.h"
#endif

namespace pairedhead {
namespace {

void line(const char* label, const std::string& text) { fmt::print("{:<12} {}\n", label, text); }

std::string program_hash() {
  std::ifstream stream("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  return hash_of(bytes.data(), bytes.size());
}

// Of the tree that the program is called in, if it is one.
std::string sources_hash() {
  try {
    return combined(source_fingerprint(std::filesystem::current_path()));
  } catch (const InputError&) {
    return "not called in a source tree";
  }
}

std::string device_text() {
#ifdef PAIREDHEAD_HAS_CUDA
  const gpu::DeviceInfo info = gpu::probe_device();
  const std::string versions =
      fmt::format("CUDA runtime {}, driver {}", gpu::version_text(info.runtime_version),
                  info.driver_version == 0 ? "none" : gpu::version_text(info.driver_version));
  if (const auto reason = gpu::unusable(info)) return *reason + " (" + versions + ")";
  return fmt::format("{}, compute {}.{}, {} multiprocessors, {:.1f} GiB, {}", info.name,
                     info.compute_major, info.compute_minor, info.multiprocessors,
                     static_cast<double>(info.memory_bytes) / (1 << 30), versions);
#else
  return "built without CUDA";
#endif
}

void print_info() {
  line("program", std::string("pairedhead ") + PAIREDHEAD_VERSION);
  line("spec", std::string(spec_version));
  line("compiler", fmt::format("{} {}, C++ {}",
#ifdef __clang__
                               "clang",
#else
                               "gcc",
#endif
                               __VERSION__, __cplusplus));
#ifdef __OPTIMIZE__
  line("build", "optimised");
#else
  line("build", "not optimised");
#endif
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  line("hdf5", fmt::format("{}.{}.{}", major, minor, release));
  line("eigen",
       fmt::format("{}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION));
  line("threads", std::to_string(omp_get_max_threads()));
  line("executable", program_hash());
  line("sources", sources_hash());
  line("components", std::to_string(component_table().size()));
  line("device", device_text());
}

}  // namespace

void add_info_command(CLI::App& app, int&) {
  app.add_subcommand("info", "Versions, fingerprints and the device")->callback(print_info);
}

}  // namespace pairedhead
