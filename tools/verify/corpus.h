#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/verify/case_plan.h"

namespace pairedhead {

// Cases that failed once, kept as text files of one line, "COMPONENT SEED NAME=VALUE ...", and run
// again before anything else.

struct CorpusCase {
  std::string component;
  PlannedCase planned;
};

// All of a folder's *.case files in the order of their names; none if the folder does not exist.
// Throws InputError naming the file on a line that does not parse.
std::vector<CorpusCase> read_corpus(const std::filesystem::path& folder);

// Makes the folder if needed. A case that is there already is not written twice. Returns the file.
// Throws InputError if it cannot be written.
std::filesystem::path save_to_corpus(const std::filesystem::path& folder,
                                     const CorpusCase& failure);

}  // namespace pairedhead
