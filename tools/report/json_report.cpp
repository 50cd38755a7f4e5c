#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/report/report.h"

namespace pairedhead {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

void add_ratio(Json& json, const std::string& name, const WorstRatio& worst) {
  const bool measured = worst.limit > 0;
  json["worst_" + name] = measured ? number(worst.ratio) : Json(nullptr);
  json["limit_" + name] = measured ? number(worst.limit) : Json(nullptr);
}

Json failure_json(const Failure& failure) {
  const CaseResult& smallest = failure.smallest;
  Json json = {{"case", smallest.planned.parameters.text()},
               {"seed", smallest.planned.seed},
               {"found_case", failure.found.planned.parameters.text()},
               {"shrink_tries", failure.tries},
               {"status", name_of(smallest.verdict.status)},
               {"reason", smallest.verdict.reason},
               {"first", nullptr},
               {"worst", nullptr},
               {"repro", failure.repro}};
  if (const TensorVerdict* tensor = smallest.verdict.first_divergent()) {
    if (tensor->first) json["first"] = describe(*tensor, *tensor->first);
    if (tensor->worst) json["worst"] = describe(*tensor, *tensor->worst);
  }
  return json;
}

Json component_json(const ComponentResult& result) {
  Json json = {{"name", result.name},
               {"judgement", result.judgement == Judgement::bitwise ? "bitwise" : "ratio"},
               {"status", name_of(result.status)},
               {"cases", result.cases},
               {"failed", result.failed},
               {"untrusted", result.untrusted},
               {"unrepeatable", result.unrepeatable}};
  add_ratio(json, "rho_max", result.max);
  add_ratio(json, "rho_row", result.row);
  add_ratio(json, "rho_rms", result.rms);
  json["worst_case"] = nullptr;
  if (result.max.limit > 0) {
    json["worst_case"] = {{"case", result.max.planned.parameters.text()},
                          {"seed", result.max.planned.seed},
                          {"output", result.max.output}};
  }
  json["skipped"] = result.skipped.empty() ? Json(nullptr) : Json(result.skipped);
  json["slack"] = result.slack;
  json["seconds"] = result.seconds;
  json["failure"] = result.failure ? failure_json(*result.failure) : Json(nullptr);
  return json;
}

}  // namespace

std::string json_report(const Report& report) {
  Json json = {{"target", report.target},   {"seed", report.seed},
               {"seconds", report.seconds}, {"cases", report.cases()},
               {"failed", report.failed()}, {"components", Json::array()}};
  for (const ComponentResult& result : report.components) {
    json["components"].push_back(component_json(result));
  }
  // A target's words may hold any bytes.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace pairedhead
