#pragma once

#include <map>
#include <string>
#include <vector>

#include "reference/tensor.h"

namespace pairedhead {

// What makes a case besides its seed: shape and settings by name, as text that can be pasted:
// "D=16 H=6 T=48 documents=3,1,44 fill=normal pairing=strided window=7".
class Parameters {
 public:
  Parameters() = default;
  // Parses that text. Throws InputError on anything that is not NAME=VALUE.
  static Parameters parse(const std::string& text);
  std::string text() const;  // names in alphabetical order

  bool has(const std::string& name) const { return values_.count(name) > 0; }
  Index integer(const std::string& name) const;                // InputError if absent or no integer
  std::vector<Index> integers(const std::string& name) const;  // comma-separated
  double real(const std::string& name) const;
  std::string word(const std::string& name) const;

  Parameters& set(const std::string& name, Index value);
  Parameters& set(const std::string& name, const std::vector<Index>& values);
  Parameters& set(const std::string& name, const std::string& word);

  const std::map<std::string, std::string>& values() const { return values_; }
  bool operator==(const Parameters&) const = default;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace pairedhead
