#include "reference/schedule.h"
#include "tools/components/rows.h"

namespace pairedhead {
namespace {

reference::ScheduleSettings schedule_of(const Parameters& p) {
  reference::ScheduleSettings settings;
  settings.scheduled = p.integer("scheduled");
  settings.extension = p.integer("extension");
  if (p.has("warm_up")) {
    settings.momentum_warm_up = p.integer("warm_up");
    settings.momentum_cool_down = p.integer("cool_down");
  } else {
    // Of no concern here, but a schedule shorter than the record's must be a valid one.
    settings.momentum_warm_up = settings.momentum_cool_down = 1;
  }
  return settings;
}

// Every step of a run is a case's one input.
Component schedule(const std::string& name, const std::string& section,
                   const std::vector<std::string>& outputs, DType dtype) {
  Component component = host_row(name, section, outputs, dtype);
  component.draw = [](Random& random, double size) {
    return Parameters()
        .set("scheduled", random.integer(3, 3 + static_cast<Index>(size * 1000)))
        .set("extension", random.integer(0, 40));
  };
  component.edges = {Parameters::parse("scheduled=1735 extension=40"),
                     Parameters::parse("scheduled=300 extension=8"),
                     Parameters::parse("scheduled=3 extension=0")};
  component.shrink = [](const Parameters& p) {
    auto smaller = smaller_values(p, "scheduled", 3);
    const auto shorter = smaller_values(p, "extension", 0);
    smaller.insert(smaller.end(), shorter.begin(), shorter.end());
    return smaller;
  };
  component.check = [](const Parameters& p) {
    check_at_least(p, "scheduled", 3);
    check_at_least(p, "extension", 0);
    reference::check_schedule(schedule_of(p));
  };
  component.inputs = [](const Parameters& p, std::uint64_t) {
    std::vector<Index> steps(
        static_cast<std::size_t>(p.integer("scheduled") + p.integer("extension") + 1));
    for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<Index>(i);
    return Arrays{{"step", from_indices(steps)}};
  };
  component.output_shape = [](const Parameters& p, const OutputRow&) {
    return Shape{p.integer("scheduled") + p.integer("extension") + 1};
  };
  return component;
}

// value(step, settings) for every step.
template <class Value>
Tensor<double> at_steps(const Parameters& p, const Arrays& arrays, const Value& value) {
  const reference::ScheduleSettings settings = schedule_of(p);
  const std::vector<Index> steps = to_indices(arrays.at("step"));
  Tensor<double> values({static_cast<Index>(steps.size())});
  for (Index i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>(value(steps[static_cast<std::size_t>(i)], settings));
  }
  return values;
}

Component window_schedule() {
  Component component =
      schedule("window_schedule", "SPEC §7.1", {"short_window", "long_window"}, DType::int32);
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    const auto short_window = [](Index step, const reference::ScheduleSettings& settings) {
      return reference::window_schedule(step, settings).short_tokens;
    };
    const auto long_window = [](Index step, const reference::ScheduleSettings& settings) {
      return reference::window_schedule(step, settings).long_tokens;
    };
    return Values{{"outputs/short_window", at_steps(p, arrays, short_window)},
                  {"outputs/long_window", at_steps(p, arrays, long_window)}};
  };
  return component;
}

Component learning_rate() {
  Component component = schedule("learning_rate", "SPEC §7.2", {"factor"}, DType::fp64);
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    return Values{{"outputs/factor", at_steps(p, arrays, reference::learning_rate)}};
  };
  return component;
}

Component momentum_schedule() {
  Component component = schedule("momentum_schedule", "SPEC §7.3", {"momentum"}, DType::fp64);
  component.draw = [draw = component.draw](Random& random, double size) {
    Parameters p = draw(random, size);
    return p.set("warm_up", random.integer(1, 300)).set("cool_down", random.integer(1, 50));
  };
  component.edges = {Parameters::parse("scheduled=1735 extension=40 warm_up=300 cool_down=50"),
                     Parameters::parse("scheduled=300 extension=8 warm_up=300 cool_down=50"),
                     Parameters::parse("scheduled=60 extension=4 warm_up=10 cool_down=2")};
  component.reference = [](const Parameters& p, const Arrays& arrays, Rounding) {
    return Values{{"outputs/momentum", at_steps(p, arrays, reference::momentum)}};
  };
  return component;
}

}  // namespace

std::vector<Component> schedule_rows() {
  return {learning_rate(), momentum_schedule(), window_schedule()};
}

}  // namespace pairedhead
