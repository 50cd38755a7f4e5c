#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/components/component.h"
#include "tools/targets/target.h"

namespace pairedhead {

// A bug that can be switched on: in the reference or in a kernel.
struct PlantedBug {
  std::string name;
  std::string component;  // the row that must kill it
  std::string trap;       // "SPEC §11.4" or "own"
  std::string what;
  std::function<void(bool on)> activate;
};

// What became of it.
struct Kill {
  PlantedBug bug;
  bool killed = false;
  Index cases = 0;         // run until the first kill, or all that were tried
  std::string parameters;  // of the case that killed it
  std::uint64_t seed = 0;
  std::string why;  // first divergent tensor and element
};

struct KillOptions {
  Index cases = 60;  // tried before a bug is declared alive
  std::uint64_t seed = 1;
};

// Runs each bug's component, edges first, then fuzzed cases, until a verdict fails. The truth and
// its error scale are computed with the bug off, once a case, and shared by all bugs of the
// component. `target` is called with the bug on; a target that throws has been caught. Throws
// InputError on a case that does not hold with the bug off.
std::vector<Kill> kill_table(const std::vector<PlantedBug>& bugs, Target& target,
                             const KillOptions& options);

// A Markdown table, as kept in tests/README.md.
std::string kill_markdown(const std::vector<Kill>& kills);
nlohmann::json kill_json(const std::string& target, const std::vector<Kill>& kills);

}  // namespace pairedhead
