#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tools/report/html_page.h"
#include "tools/report/html_report.h"

namespace pairedhead {
namespace {

constexpr double width = 1000, height = 400, left = 44, right = 110, top = 14, bottom = 34;
constexpr int wanted_ticks = 6;

// 1, 2 or 5 times a power of ten, so that about wanted_ticks of them fill the span.
double tick_step(double span) {
  const double least = span / wanted_ticks;
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least) return factor * power;
  }
  return 10 * power;
}

// From steps and nats to the picture.
struct Axes {
  double last_step, low, high;
  double x(double step) const { return left + step / last_step * (width - left - right); }
  double y(double loss) const {
    return top + (high - loss) / (high - low) * (height - top - bottom);
  }
};

Axes axes_of(const std::vector<TrainingCurve>& curves) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Axes axes{1, infinity, -infinity};
  for (const TrainingCurve& curve : curves) {
    for (const auto* points : {&curve.training, &curve.validation}) {
      for (const TrainingCurve::Point& point : *points) {
        axes.last_step = std::max(axes.last_step, static_cast<double>(point.step));
        for (const double loss : {point.loss, point.floor.value_or(point.loss)}) {
          if (!std::isfinite(loss)) continue;
          axes.low = std::min(axes.low, loss);
          axes.high = std::max(axes.high, loss);
        }
      }
    }
  }
  if (!(axes.low <= axes.high)) axes.low = axes.high = 0;
  const double step = tick_step(std::max(axes.high - axes.low, 1e-3));
  axes.low = step * (std::floor(axes.low / step) - 0.5);
  axes.high = step * std::ceil(axes.high / step + 0.1);
  return axes;
}

std::string grid(const Axes& axes) {
  std::string svg;
  const double nats = tick_step(axes.high - axes.low);
  for (double loss = nats * std::ceil(axes.low / nats); loss <= axes.high; loss += nats) {
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:g}\" x2=\"{:g}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text x=\"{:g}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3g}</text>",
        left, width - right, axes.y(loss), axes.y(loss), left - 8, axes.y(loss) + 4, loss);
  }
  const double steps = std::max(tick_step(axes.last_step), 1.0);
  for (double step = 0; step <= axes.last_step; step += steps) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:g}\" text-anchor=\"middle\">{:g}</text>",
                       axes.x(step), height - bottom + 20, step);
  }
  return svg + fmt::format("<text x=\"{:g}\" y=\"{:g}\">step</text>", width - right + 12,
                           height - bottom + 20);
}

std::string path(const Axes& axes, const std::vector<std::pair<double, double>>& points) {
  std::string d;
  for (const auto& [step, loss] : points) {
    if (!std::isfinite(loss)) continue;
    d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : "L", axes.x(step), axes.y(loss));
  }
  return d;
}

std::vector<std::pair<double, double>> losses(const std::vector<TrainingCurve::Point>& points) {
  std::vector<std::pair<double, double>> line;
  for (const auto& point : points) line.emplace_back(point.step, point.loss);
  return line;
}

std::vector<std::pair<double, double>> floors(const std::vector<TrainingCurve::Point>& points) {
  std::vector<std::pair<double, double>> line;
  for (const auto& point : points) {
    if (point.floor) line.emplace_back(point.step, *point.floor);
  }
  return line;
}

// What the members of the ensemble reach at most and at least, step by step.
std::string band(const Axes& axes, const std::vector<TrainingCurve>& curves) {
  std::map<Index, std::pair<double, double>> range;
  for (std::size_t member = 1; member < curves.size(); ++member) {
    for (const TrainingCurve::Point& point : curves[member].training) {
      auto& [low, high] = range.try_emplace(point.step, point.loss, point.loss).first->second;
      low = std::min(low, point.loss);
      high = std::max(high, point.loss);
    }
  }
  std::vector<std::pair<double, double>> outline;
  for (const auto& [step, ends] : range) outline.emplace_back(step, ends.second);
  for (auto it = range.rbegin(); it != range.rend(); ++it) {
    outline.emplace_back(it->first, it->second.first);
  }
  if (outline.empty()) return "";
  return fmt::format("<path class=\"band\" d=\"{}Z\"/>", path(axes, outline));
}

std::string floor_line(const Axes& axes, const std::vector<std::pair<double, double>>& points) {
  if (points.empty()) return "";
  const std::string line = path(axes, points);
  return fmt::format(
      "<path class=\"below\" d=\"{0}L{1:.1f} {2:.1f}L{3:.1f} {2:.1f}Z\"/><path class=\"floor\" "
      "d=\"{0}\"/><text class=\"floor-label\" x=\"{4:g}\" y=\"{5:.1f}\">floor {6:.3f}</text>",
      line, axes.x(points.back().first), height - bottom, axes.x(points.front().first),
      width - right + 8, axes.y(points.back().second) + 4, points.back().second);
}

constexpr std::string_view style =
    "<style>.grid{stroke:var(--line)}.band{fill:var(--own-soft)}.run{fill:none;stroke:var(--own);"
    "stroke-width:2;stroke-linejoin:round}.floor{fill:none;stroke:var(--floor);stroke-width:1.5;"
    "stroke-dasharray:5 4}.below{fill:var(--floor-soft);stroke:none}svg .floor-label{fill:"
    "var(--floor);font-weight:600}.validation{fill:var(--partner);stroke:var(--card);"
    "stroke-width:2}svg .loss-label{fill:var(--partner);font-weight:600}</style>";

}  // namespace

std::string html_training(const std::vector<TrainingCurve>& curves) {
  const TrainingCurve& run = curves.front();
  const Axes axes = axes_of(curves);
  const bool validated = !run.validation.empty();
  const auto floor = floors(validated ? run.validation : run.training);
  std::string svg = fmt::format(
      "<svg id=\"loss\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" height=\"{1:g}\" role=\"img\" "
      "aria-label=\"loss by step\">{2}",
      width, height, style);
  svg += floor_line(axes, floor) + grid(axes) + band(axes, curves);
  svg += fmt::format("<path class=\"run\" d=\"{}\"/>", path(axes, losses(run.training)));
  for (const TrainingCurve::Point& point : run.validation) {
    if (!std::isfinite(point.loss)) continue;
    svg += fmt::format(
        "<circle class=\"validation\" data-step=\"{0}\" cx=\"{1:.1f}\" cy=\"{2:.1f}\" r=\"5\">"
        "<title>step {0}: validation {3:.4f}</title></circle>",
        point.step, axes.x(static_cast<double>(point.step)), axes.y(point.loss), point.loss);
  }
  if (validated) {
    const auto& last = run.validation.back();
    svg += fmt::format("<text class=\"loss-label\" x=\"{:g}\" y=\"{:.1f}\">{:.3f}</text>",
                       width - right + 12, axes.y(last.loss) + 4, last.loss);
  }
  svg += "</svg>\n<div class=\"legend\"><span style=\"--tone:var(--own)\">training</span>";
  if (validated) svg += "<span style=\"--tone:var(--partner)\">validation</span>";
  if (!floor.empty()) svg += "<span style=\"--tone:var(--floor)\">entropy of the text</span>";
  if (curves.size() > 1) {
    svg += fmt::format("<span style=\"--tone:var(--own-soft)\">{} rounded runs</span>",
                       curves.size() - 1);
  }
  return html_section(
      "training", "Loss",
      floor.empty() ? "Nats a token, by step."
                    : "Nats a token, by step. The text's own -ln p is the floor: whatever falls "
                      "below it sees the future.",
      svg + "</div>\n");
}

std::string html_training_report(const std::vector<TrainingCurve>& training,
                                 const std::string& verdict, const std::string& summary,
                                 bool good) {
  return html_page("Paired-head attention · training", verdict, summary, good,
                   html_training(training));
}

}  // namespace pairedhead
