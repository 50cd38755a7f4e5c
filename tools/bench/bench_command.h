#pragma once

#include <CLI/CLI.hpp>

namespace pairedhead {

// pairedhead bench [--component NAME]... [--data FILE.bin] [--json FILE]
// Times our kernels on device 0 at the record's shapes: milliseconds, GB/s, TFLOP/s over visible
// pairs and the share of the roofline, beside the machine's own copy bandwidth and matrix rate and
// the peer's figures. With --data the attention shapes are also timed on the document lengths of a
// shard. Exit code 3 without a device, 2 for a component that has no kernel.
void add_bench_command(CLI::App& app, int& exit_code);

}  // namespace pairedhead
