#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/components/component.h"

namespace pairedhead {

// One case: its parameters and seed repeat it anywhere.
struct PlannedCase {
  Parameters parameters;
  std::uint64_t seed = 0;
  bool operator==(const PlannedCase&) const = default;
};

// "n of N" equal parts of a plan, for runs spread over machines.
struct Shard {
  int part = 1;  // from 1
  int parts = 1;
};
// "2/4". Throws InputError on anything else.
Shard parse_shard(const std::string& text);

// The component's edges, then `cases` fuzzed ones, or a one_in-th of them, that grow from the
// smallest to the largest, so that a small failure is met before a large one. Every seed is derived
// from the run's seed, the component's name and the case's place, so that a component alone repeats
// what it did among all. Throws InputError if a drawn setting is not one of the component's.
std::vector<PlannedCase> plan_cases(const Component& component, std::uint64_t seed, Index cases,
                                    Shard shard = {});

// The seed of a component's n-th case. Below 2^32, to be short in a repro line.
std::uint64_t case_seed(std::uint64_t run_seed, const std::string& component, std::uint64_t n);

}  // namespace pairedhead
