#include "gpu/comm/rank_environment.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "reference/error.h"

namespace pairedhead::gpu {
namespace {

constexpr int largest_port = 65535;

std::string text(const Variables& variables, const char* name) {
  const char* const value = variables(name);
  if (value != nullptr && *value != '\0') return value;
  throw InputError(std::string("environment: expected ") + name +
                   " beside RANK and WORLD_SIZE, got none");
}

int number(const Variables& variables, const char* name, int lowest, int highest) {
  const std::string value = text(variables, name);
  int number = 0;
  const char* const end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, number);
  if (error == std::errc() && rest == end && number >= lowest && number <= highest) return number;
  throw InputError(std::string("environment: ") + name + ": expected a number from " +
                   std::to_string(lowest) + " to " + std::to_string(highest) + ", got \"" + value +
                   "\"");
}

}  // namespace

RankEnvironment rank_environment(const Variables& variables) {
  if (variables("RANK") == nullptr && variables("WORLD_SIZE") == nullptr) return {};
  RankEnvironment environment;
  environment.size = number(variables, "WORLD_SIZE", 1, 8);
  if (8 % environment.size != 0) {
    throw InputError("environment: WORLD_SIZE: expected 1, 2, 4 or 8, got \"" +
                     std::to_string(environment.size) + "\"");
  }
  environment.rank = number(variables, "RANK", 0, environment.size - 1);
  environment.local_rank = number(variables, "LOCAL_RANK", 0, environment.rank);
  if (environment.size == 1) return environment;
  environment.address = text(variables, "MASTER_ADDR");
  const char* const agent = variables("TORCHELASTIC_USE_AGENT_STORE");
  const bool taken = agent != nullptr && std::strcmp(agent, "True") == 0;
  const int port = number(variables, "MASTER_PORT", 1, largest_port - (taken ? 1 : 0));
  environment.port = static_cast<std::uint16_t>(port + (taken ? 1 : 0));
  return environment;
}

RankEnvironment rank_environment() {
  return rank_environment([](const char* name) { return std::getenv(name); });
}

}  // namespace pairedhead::gpu
