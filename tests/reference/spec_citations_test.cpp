#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "reference/spec_version.h"

// Every "SPEC §n" in the sources leads somewhere: to a heading of reference/SPEC.md or to a
// numbered item under one, "SPEC §3.6.4" being item 4 of section 3.6.

namespace pairedhead {
namespace {

namespace fs = std::filesystem;

const fs::path root = PAIREDHEAD_SOURCE_DIR;

// The numbers that a citation may have, with the text each leads to.
std::map<std::string, std::string> sections(std::istream& spec) {
  static const std::regex heading(R"(^##+ (\d+(?:\.\d+)?)\.? .*)");
  static const std::regex item(R"(^(\d+)\. .*)");
  std::map<std::string, std::string> found;
  std::string section, current;
  std::smatch match;
  for (std::string line; std::getline(spec, line);) {
    if (std::regex_match(line, match, heading)) {
      section = current = match[1];
    } else if (std::regex_match(line, match, item) && !section.empty()) {
      current = section + "." + match[1].str();
    }
    if (!section.empty()) found[section] += line + "\n";
    if (current != section) found[current] += line + "\n";
  }
  return found;
}

struct Citation {
  std::string number;  // "3.6.4"
  std::string quoted;  // the words of SPEC §8 "File", if any
};

// "SPEC §3.4, §3.6.2-4" cites 3.4, 3.6.2 and 3.6.4.
std::vector<Citation> citations(const std::string& text) {
  static const std::regex number(R"re((\d+(?:\.\d+)*)(?:-(\d+))?(?:\s+"([^"\n]*)")?)re");
  const std::string sign = "§";
  std::vector<Citation> found;
  for (std::size_t at = text.find("SPEC §"); at != std::string::npos;
       at = text.find("SPEC §", at + 1)) {
    std::size_t next = at + 5;
    while (text.compare(next, sign.size(), sign) == 0) {
      const std::string rest = text.substr(next + sign.size(), 80);
      std::smatch match;
      if (!std::regex_search(rest, match, number, std::regex_constants::match_continuous)) break;
      const std::string first = match[1];
      found.push_back({first, match[3]});
      if (match[2].matched) {
        found.push_back({first.substr(0, first.rfind('.') + 1) + match[2].str(), ""});
      }
      next += sign.size() + static_cast<std::size_t>(match.length());
      for (const std::string separator : {", ", " and ", ","}) {
        if (text.compare(next, separator.size() + sign.size(), separator + sign) == 0) {
          next += separator.size();
          break;
        }
      }
    }
  }
  return found;
}

std::string read(const fs::path& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

std::vector<fs::path> sources() {
  static const std::set<std::string> kinds = {".h", ".cpp", ".cu", ".cuh", ".py", ".md"};
  std::vector<fs::path> files = {root / "README.md"};
  for (const char* folder : {"reference", "golden", "gpu", "tools", "tests"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      const fs::path& path = entry.path();
      if (kinds.count(path.extension()) != 0 && path.filename() != "SPEC.md" &&
          path.filename() != "spec_citations_test.cpp") {
        files.push_back(path);
      }
    }
  }
  return files;
}

TEST(SpecCitations, AllLeadSomewhere) {
  std::ifstream spec(root / "reference/SPEC.md");
  const auto known = sections(spec);
  int resolved = 0;
  for (const fs::path& source : sources()) {
    for (const Citation& citation : citations(read(source))) {
      const auto section = known.find(citation.number);
      if (section == known.end() || section->second.find(citation.quoted) == std::string::npos) {
        ADD_FAILURE() << fs::relative(source, root).string() << ": expected a section of SPEC.md, "
                      << "got §" << citation.number
                      << (citation.quoted.empty() ? "" : " \"" + citation.quoted + "\"");
      } else {
        ++resolved;
      }
    }
  }
  EXPECT_GT(resolved, 50);
}

TEST(SpecCitations, FindsSectionsAndItems) {
  std::istringstream spec(
      "# Title\n1. no section\n## 3. Forward\n### 3.6 Plain\n1. one\n2. two\n## 4. X\n");
  const auto known = sections(spec);
  EXPECT_EQ(known.size(), 5u);
  for (const char* number : {"3", "3.6", "3.6.1", "3.6.2", "4"}) EXPECT_TRUE(known.count(number));
  EXPECT_EQ(known.at("3.6.2"), "2. two\n");
}

TEST(SpecCitations, FindsCitations) {
  const auto numbers = [](const std::string& text) {
    std::string joined;
    for (const Citation& citation : citations(text)) joined += citation.number + " ";
    return joined;
  };
  EXPECT_EQ(numbers("SPEC §3.4."), "3.4 ");
  EXPECT_EQ(numbers("see SPEC §3.4, §3.6.2-4; DESIGN §5"), "3.4 3.6.2 3.6.4 ");
  EXPECT_EQ(numbers("SPEC §3.6.6 and §3.7, by meaning"), "3.6.6 3.7 ");
  EXPECT_EQ(numbers("SPEC §n, SPEC section 3"), "");
  EXPECT_EQ(citations("(SPEC §8 \"File\")").at(0).quoted, "File");
}

TEST(SpecCitations, VersionIsTheOneThatGoldensCarry) {
  const std::string spec = read(root / "reference/SPEC.md");
  EXPECT_NE(spec.find("\nversion: " + std::string(spec_version) + "\n"), std::string::npos);
}

}  // namespace
}  // namespace pairedhead
