#include "tools/bench/cpu_bench.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>

#include "reference/document_packer.h"
#include "reference/model.h"
#include "reference/random.h"
#include "tools/bench/measurement.h"
#include "tools/targets/child_process.h"

namespace pairedhead {
namespace {

constexpr std::chrono::minutes peer_patience(30);

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

reference::Batch batch_of(const std::string& shard, Index tokens, const reference::Config& config) {
  const auto text = reference::read_shard(shard, config.vocabulary);
  const auto packed =
      reference::validation_sequence(text, 0, tokens, {config.bos, config.max_document});
  return {{packed.inputs.begin(), packed.inputs.end()},
          {packed.targets.begin(), packed.targets.end()},
          packed.cu_seqlens};
}

// Zero matrices would let whole products vanish.
reference::ParameterSet<double> random_parameters(const reference::Config& config) {
  auto parameters = reference::initial_parameters(config, 1);
  Random random(1);
  for (auto& [name, tensor] : parameters) {
    if (tensor.shape().size() != 2) continue;
    for (Index i = 0; i < tensor.size(); ++i) {
      if (tensor[i] == 0) tensor[i] = round_to(DType::bf16, 0.02 * random.normal());
    }
  }
  return parameters;
}

}  // namespace

double record_model_flops(Index tokens) {
  const auto config = reference::config_named("record");
  const auto matrix = static_cast<double>(config.width * config.width);
  const auto mlp = static_cast<double>(2 * config.width * config.hidden * config.depth());
  const auto head = static_cast<double>(config.width * config.vocabulary);
  return 2.0 * static_cast<double>(tokens) *
         (4 * matrix * static_cast<double>(config.attention_layers()) + mlp + head);
}

ModelTiming time_reference_model(const std::string& shard, Index tokens, int repeats) {
  const auto config = reference::config_named("record");
  const auto batch = batch_of(shard, tokens, config);
  const auto parameters = random_parameters(config);
  reference::ModelSettings settings;
  settings.rotary = reference::rotary_start(config.head_dim);
  settings.loss.mtp_weights = {1, 0.5, 0.25};
  const Rounding exact = Rounding::exact();
  std::vector<double> forward, backward;
  for (int run = 0; run <= repeats; ++run) {
    auto start = Clock::now();
    const auto passed = reference::model_forward(config, parameters, batch, settings, exact);
    const double forward_time = milliseconds_since(start);
    start = Clock::now();
    reference::model_backward(config, parameters, batch, settings, passed, 1.0, exact);
    const double backward_time = milliseconds_since(start);
    if (run == 0) continue;
    forward.push_back(forward_time);
    backward.push_back(backward_time);
  }
  return {"reference in Exact, Eigen", median(forward), median(backward)};
}

ModelTiming time_peer_model(const std::string& command, const std::string& shard, Index tokens,
                            int repeats) {
  const nlohmann::json question = {{"shard", shard}, {"tokens", tokens}, {"repeats", repeats}};
  const std::string said = ChildProcess(command).ask(question.dump(), peer_patience);
  try {
    const auto answer = nlohmann::json::parse(said);
    return {answer.at("name"), answer.at("forward_ms"), answer.at("backward_ms")};
  } catch (const nlohmann::json::exception&) {
    throw InputError("peer: expected {\"name\", \"forward_ms\", \"backward_ms\"} of " + command +
                     ", got \"" + said + "\"");
  }
}

std::string cpu_bench_table(const std::vector<ModelTiming>& timings, Index tokens,
                            double peak_gigabytes) {
  const double flops = 3 * record_model_flops(tokens);
  std::string table =
      fmt::format("record configuration, T = {}, float64: {:.0f} GFLOP forward and backward\n",
                  tokens, flops / 1e9);
  table += fmt::format("{:<52} {:>10} {:>11} {:>9} {:>8} {:>6}\n", "", "forward ms", "backward ms",
                       "both ms", "GFLOP/s", "ratio");
  for (const ModelTiming& timing : timings) {
    table += fmt::format("{:<52} {:>10.0f} {:>11.0f} {:>9.0f} {:>8.1f} {:>6.2f}\n", timing.name,
                         timing.forward_milliseconds, timing.backward_milliseconds,
                         timing.milliseconds(), flops / timing.milliseconds() / 1e6,
                         timings.front().milliseconds() / timing.milliseconds());
  }
  return table + fmt::format("our peak memory: {:.2f} GB\n", peak_gigabytes);
}

nlohmann::json cpu_bench_json(const std::vector<ModelTiming>& timings, Index tokens,
                              double peak_gigabytes) {
  nlohmann::json rows = nlohmann::json::array();
  for (const ModelTiming& timing : timings) {
    rows.push_back({{"name", timing.name},
                    {"forward_ms", timing.forward_milliseconds},
                    {"backward_ms", timing.backward_milliseconds},
                    {"ratio", timings.front().milliseconds() / timing.milliseconds()}});
  }
  return {{"tokens", tokens}, {"peak_gb", peak_gigabytes}, {"rows", rows}};
}

double peak_resident_gigabytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e9;
}

}  // namespace pairedhead
