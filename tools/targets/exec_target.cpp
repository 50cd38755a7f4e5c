#include "tools/targets/exec_target.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "golden/golden_file.h"
#include "tools/targets/child_process.h"

namespace pairedhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* case_name = "case";

double timeout_seconds() {
  const char* text = std::getenv("PAIREDHEAD_EXEC_TIMEOUT");
  if (text == nullptr) return 60;
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(seconds > 0) || !std::isfinite(seconds)) {
    throw InputError(fmt::format(
        "PAIREDHEAD_EXEC_TIMEOUT: expected a number of seconds above 0, got \"{}\"", text));
  }
  return seconds;
}

// A folder for the files of one batch at a time, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "pairedhead-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw InputError(fmt::format("exec: no folder could be made under {}",
                                   fs::temp_directory_path().string()));
    }
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// A line as it may be shown in a sentence.
std::string printable(const std::string& line) {
  std::string text = line.substr(0, 80);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return text + (line.size() > 80 ? "..." : "");
}

struct Answer {
  enum class Kind { ok, error, skip } kind;
  std::string text;
};

// Throws TargetError on anything but the three answers.
Answer parse_answer(const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  if (json.is_object()) {
    const auto text = [&](const char* name) -> const std::string* {
      const auto found = json.find(name);
      return found == json.end() ? nullptr : found->get_ptr<const std::string*>();
    };
    if (const std::string* reason = text("skip")) return {Answer::Kind::skip, *reason};
    const auto ok = json.find("ok");
    if (ok != json.end() && ok->is_boolean()) {
      if (ok->get<bool>()) return {Answer::Kind::ok, ""};
      if (const std::string* error = text("error")) return {Answer::Kind::error, *error};
    }
  }
  throw TargetError(fmt::format(
      R"(the program's answer: expected {{"ok": true}}, {{"ok": false, "error": "..."}} or )"
      R"({{"skip": "..."}} on one line, got "{}")",
      printable(line)));
}

class ExecTarget : public Target {
 public:
  explicit ExecTarget(const std::string& command)
      : command_(command), patience_(timeout_seconds()), child_(command) {}

  std::string name() const override { return "exec:" + command_; }

  std::optional<std::string> skips(const Component& component) const override {
    const auto [entry, is_new] = skipped_.try_emplace(component.name);
    if (is_new) {
      Random random(1);
      const Parameters smallest =
          component.edges.empty() ? component.draw(random, 0) : component.edges.front();
      const Answer answer = ask(component, smallest, component.inputs(smallest, 1));
      if (answer.kind == Answer::Kind::skip) entry->second = answer.text;
    }
    return entry->second;
  }

  void run(const Component& component, const Parameters& parameters, const Arrays& inputs,
           Arrays& outputs) override {
    const Answer answer = ask(component, parameters, inputs);
    if (answer.kind == Answer::Kind::error) {
      throw std::runtime_error("the program reports: " + answer.text);
    }
    if (answer.kind == Answer::Kind::skip) {
      throw std::runtime_error("the program skips this case (" + answer.text +
                               "), but a component is skipped whole or not at all");
    }
    take_outputs(component, parameters, outputs);
  }

 private:
  fs::path input_file() const { return scratch_.path() / "inputs.h5"; }
  fs::path output_file() const { return scratch_.path() / "outputs.h5"; }

  // Whoever asks afterwards, from another thread, hears why it ended and not only that it did.
  [[noreturn]] void end(const std::string& why) const {
    child_.kill();
    why_ended_ = why;
    throw TargetError(why);
  }

  Answer ask(const Component& component, const Parameters& parameters, const Arrays& inputs) const {
    if (!why_ended_.empty()) throw TargetError(why_ended_);
    BatchCase batch{.name = case_name,
                    .component = component.name,
                    .parameters = parameters.text(),
                    .seed = 0,
                    .arrays = {}};
    for (const auto& [name, array] : inputs) batch.arrays["inputs/" + name] = array;
    write_batch(input_file(), {batch});
    fs::remove(output_file());  // an answer must not be one that was given before
    const Json question = {{"component", component.name},
                           {"parameters", batch.parameters},
                           {"inputs", input_file().string()},
                           {"outputs", output_file().string()}};
    try {
      return parse_answer(child_.ask(question.dump(), patience_));
    } catch (const TargetError& error) {
      end(sentence(component, parameters, error.what()));
    }
  }

  void take_outputs(const Component& component, const Parameters& parameters, Arrays& outputs) {
    std::vector<BatchCase> batch;
    try {
      batch = read_batch(output_file());
      if (batch.size() != 1 || batch[0].name != case_name) {
        throw InputError(fmt::format("{}: expected one group named {}, got {} groups",
                                     output_file().string(), case_name, batch.size()));
      }
    } catch (const InputError& error) {
      end(sentence(component, parameters, error.what()));
    }
    for (const OutputRow& row : component.outputs) {
      const auto given = batch[0].arrays.find(row.key());
      if (given == batch[0].arrays.end()) {
        throw std::runtime_error("the program gave no " + row.key());
      }
      // Whatever the program stores its values as, the target's dtype is what it is judged by.
      outputs[row.key()] = to_array(to_tensor(given->second), row.dtype);
    }
  }

  std::string sentence(const Component& component, const Parameters& parameters,
                       const std::string& what) const {
    return fmt::format("{}: component {} with {}: {}", name(), component.name, parameters.text(),
                       what);
  }

  std::string command_;
  std::chrono::duration<double> patience_;
  ScratchFolder scratch_;
  mutable ChildProcess child_;
  mutable std::string why_ended_;  // empty while the program lives
  mutable std::map<std::string, std::optional<std::string>> skipped_;
};

}  // namespace

std::unique_ptr<Target> make_exec_target(const std::string& command) {
  return std::make_unique<ExecTarget>(command);
}

}  // namespace pairedhead
