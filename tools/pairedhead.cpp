#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "golden/rehearsal.h"
#include "reference/error.h"
#include "reference/mutant.h"
#include "tools/bench/bench_command.h"
#include "tools/compare/compare_command.h"
#include "tools/eval/eval_command.h"
#include "tools/fuzz/fuzz_command.h"
#include "tools/golden/golden_command.h"
#include "tools/info/info_command.h"
#include "tools/mutants/mutants_command.h"
#include "tools/report/write_file.h"
#include "tools/selftest/selftest_command.h"
#include "tools/train/train_command.h"
#include "tools/verify/verify_command.h"
#if defined(PAIREDHEAD_MUTANTS) && defined(PAIREDHEAD_HAS_CUDA)
#include "gpu/kernels/mutant.h"
#endif

namespace {

// Steps allocate the same tensors again and again, and those that are too large for the pools of
// reference/tensor_memory.h come from malloc: memory that is freed stays with the process, because
// fetching and clearing fresh pages took a third of a step of the record's configuration.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
}

#ifdef PAIREDHEAD_MUTANTS
void plant(const std::string& name) {
  for (const pairedhead::MutantInfo& info : pairedhead::mutant_table()) {
    if (pairedhead::name_of(info.mutant) == name) return pairedhead::activate(info.mutant);
  }
#ifdef PAIREDHEAD_HAS_CUDA
  namespace gpu = pairedhead::gpu;
  for (const gpu::KernelMutantInfo& info : gpu::kernel_mutant_table()) {
    if (gpu::name_of(info.mutant) != name) continue;
    gpu::active_kernel_mutant() = info.mutant;
    return;
  }
#endif
  throw pairedhead::InputError("--plant: expected a planted bug, got \"" + name + "\"");
}
#endif

// Exit codes: 0 all hold, 1 a check failed, 2 bad usage or input, 3 no device.
int run(int argc, char** argv) {
  CLI::App app("Paired-head attention: an exact reference, and what holds a kernel against it");
  app.require_subcommand(1);
  int exit_code = 0;
#ifdef PAIREDHEAD_MUTANTS
  app.add_option("--plant", "Switch on a planted bug for the whole run")
      ->each([](const std::string& name) { plant(name); });
#endif
  pairedhead::add_verify_command(app, exit_code);
  pairedhead::add_fuzz_command(app, exit_code);
  pairedhead::add_compare_command(app, exit_code);
  pairedhead::add_eval_command(app, exit_code);
  pairedhead::add_info_command(app, exit_code);
  pairedhead::add_golden_command(app, exit_code);
  pairedhead::add_mutants_command(app, exit_code);
  pairedhead::add_bench_command(app, exit_code);
  pairedhead::add_train_command(app, exit_code);
  pairedhead::add_selftest_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "pairedhead: {}\n", error.what());
    return 2;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  try {
    pairedhead::stand_by_for_rehearsals();
    const int exit_code = run(argc, argv);
    pairedhead::flush_standard_output();
    return exit_code;
  } catch (const pairedhead::InputError& error) {
    fmt::print(stderr, "pairedhead: {}\n", error.what());
    return 2;
  } catch (const pairedhead::DeviceError& error) {
    fmt::print(stderr, "pairedhead: {}\n", error.what());
    return 3;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr,
               "pairedhead: expected memory for what was asked, this machine has too little\n");
    return 2;
  } catch (const std::exception& error) {
    // A print that fails throws what has no words for where.
    const char* where = std::ferror(stdout) != 0 ? "standard output" : "unexpected";
    fmt::print(stderr, "pairedhead: {}: {}\n", where, error.what());
    return 2;
  }
}
