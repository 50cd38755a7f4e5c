#pragma once

#include <memory>
#include <string>

#include "tools/targets/target.h"

namespace pairedhead {

// Somebody else's program as the target: `sh -c command`, started at once and kept alive between
// cases. tools/exec_example/README.md describes what it reads and answers. A case takes at most
// PAIREDHEAD_EXEC_TIMEOUT seconds (environment; 60 if unset). The program is asked once a component
// whether it has one, with the component's first edge.
// run() throws std::runtime_error where the program reports that a case failed, and TargetError
// where it died, took too long or answered nonsense: it is killed then, and asked no more.
// Throws InputError if the command cannot be started or the time-out is no positive number.
std::unique_ptr<Target> make_exec_target(const std::string& command);

}  // namespace pairedhead
