#include "tools/report/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/tools/fake_report.h"
#include "tests/tools/run_program.h"
#include "tests/tools/scratch_folder.h"
#include "tools/report/html_page.h"
#include "tools/report/write_file.h"

namespace pairedhead::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string browser() {
  std::string path =
      run_shell("command -v chromium || command -v chromium-browser || command -v google-chrome")
          .output;
  if (!path.empty()) path.pop_back();
  return path;
}

// What the script at the end of the page found there, as the browser laid it out.
nlohmann::json seen(const std::string& page, const std::string& script, const std::string& option) {
  const ScratchFolder folder;
  const std::string probe =
      "<script>document.body.textContent = JSON.stringify((() => {" + script + "})());</script>";
  write_file(folder / "page.html", page + probe);
  const std::string dom =
      run_shell(browser() + " --headless --no-sandbox --disable-gpu --user-data-dir='" +
                (folder / "profile").string() + "' --window-size=1180,2000 " + option +
                " --dump-dom 'file://" + (folder / "page.html").string() + "' 2>/dev/null")
          .output;
  const auto start = dom.find("<body>");
  const auto end = dom.find("</body>");
  EXPECT_NE(end, std::string::npos) << dom.substr(0, 400);
  if (end == std::string::npos) return {};
  std::string text = dom.substr(start + 6, end - start - 6);
  for (const auto& [entity, character] : {std::pair("&lt;", "<"), {"&gt;", ">"}, {"&amp;", "&"}}) {
    text = replaced(text, entity, character);
  }
  return nlohmann::json::parse(text);
}

struct Sample {
  Report report = fake_report();
  HtmlExtras extras;

  Sample() {
    report.components[0].max.ratio = 2;
    FakeTarget wrong = failing_target();
    const auto worst = worst_case(report);
    extras.error_map = error_map(failing_component(), wrong, worst->planned, worst->output);
    extras.kills = {{"sign", "own", "a sign", "averaging", "y[0]", true, 1},
                    {"scale", "own", "a scale", "averaging", "", false, 60}};
    extras.training = {{{{0, 6, 3.0}, {10, 4, 3.0}}, {{0, 6, 3.0}, {10, 4.5, 3.0}}},
                       {{{0, 6.1, 3.0}, {10, 4.2, 3.0}}, {}}};
  }
};

TEST(HtmlReport, IsOneFileWithoutScriptOrAnythingFromOutside) {
  const Sample sample;
  const std::string page = html_report(sample.report, sample.extras);
  for (const char* foreign : {"http:", "https:", "<script", "<link", "<img", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(foreign)));
  }
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(page, HasSubstr("fused into &lt;all&gt; &amp; &quot;more&quot;"));
}

TEST(HtmlReport, ABrowserShowsWhatWasFound) {
  if (browser().empty()) GTEST_SKIP() << "no chromium on this machine";
  const Sample sample;
  const auto page = seen(html_report(sample.report, sample.extras), R"js(
    const all = (selector) => [...document.querySelectorAll(selector)];
    const box = (element) => element.getBoundingClientRect();
    const track = document.querySelector('[data-component=averaging] .track');
    const map = box(document.querySelector('#map'));
    const wrong = all('#map .wrong');
    const circles = all('#loss .validation').map((c) => box(c));
    return {
      verdict: document.querySelector('h1').innerText,
      components: all('[data-component]').map((row) => row.innerText.replace(/\s+/g, ' ')),
      share: box(track.querySelector('i')).width / box(track).width,
      failure: document.querySelector('[data-failure=failing] pre').innerText,
      wrong: wrong.map((cell) => [(box(cell).x - map.x) / map.width,
                                  (box(cell).y - map.y) / map.height]),
      paired: all('[data-pairing=paired] .partner').length,
      own: all('[data-pairing=plain] .own').length,
      alive: all('.squares .alive').length, killed: all('.squares .killed').length,
      folded: box(document.querySelector('details')).height < 40,
      falls: circles.length === 2 && circles[0].x < circles[1].x && circles[0].y < circles[1].y,
      floor: box(document.querySelector('#loss .floor')).y > circles[1].y,
      overflow: document.documentElement.scrollWidth > window.innerWidth,
    };)js",
                         "");
  EXPECT_EQ(page.at("verdict"), std::to_string(sample.report.failed()) + " of 29 cases fail");
  ASSERT_EQ(page.at("components").size(), 4u);
  EXPECT_THAT(page["components"][0].get<std::string>(), HasSubstr("averaging 10 2 / 8"));
  EXPECT_THAT(page["components"][1].get<std::string>(), HasSubstr("FAILED"));
  EXPECT_THAT(page["components"][2].get<std::string>(),
              HasSubstr("fused into <all> & \"more\" SKIPPED"));
  EXPECT_THAT(page["components"][3].get<std::string>(), HasSubstr("bit by bit PASSED"));
  EXPECT_NEAR(page.at("share").get<double>(), 0.25, 0.01);  // 2 of 8
  EXPECT_EQ(page.at("failure"), sample.report.components[1].failure->repro);
  // Element 3 of [4, 1, 1] is the last row.
  ASSERT_EQ(page.at("wrong").size(), 1u);
  EXPECT_NEAR(page["wrong"][0][0].get<double>(), 0.75, 0.01);
  EXPECT_NEAR(page["wrong"][0][1].get<double>(), 0, 0.01);
  // Documents of 6 and 4 tokens, window 4: keys 1 2 3 4 5 5 and 1 2 3 4.
  EXPECT_EQ(page.at("own"), 30);
  // Row 2t sees its partner 1 and 2 tokens back, row 2t+1 0 and 1.
  EXPECT_EQ(page.at("paired"), (0 + 1 + 2 + 2 + 2 + 2) + (1 + 2 + 2 + 2 + 2 + 2) + 5 + 7);
  EXPECT_EQ(page.at("alive"), 1);
  EXPECT_EQ(page.at("killed"), 1);
  EXPECT_EQ(page.at("folded"), true);
  EXPECT_EQ(page.at("falls"), true);
  EXPECT_EQ(page.at("floor"), true);
  EXPECT_EQ(page.at("overflow"), false);
}

// The contrast of text against its card, by WCAG's formula, in both schemes.
TEST(HtmlReport, IsReadableInLightAndDark) {
  if (browser().empty()) GTEST_SKIP() << "no chromium on this machine";
  const Sample sample;
  const std::string page = html_report(sample.report, sample.extras);
  const std::string script = R"js(
    const light = (element, property) => {
      const [r, g, b] = getComputedStyle(element)[property].match(/\d+/g).map((c) => {
        const s = c / 255;
        return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const card = light(document.querySelector('section'), 'backgroundColor');
    const contrast = (selector) => {
      const ink = light(document.querySelector(selector), 'color');
      return (Math.max(card, ink) + 0.05) / (Math.min(card, ink) + 0.05);
    };
    return {card, words: contrast('h2'), muted: contrast('.lead')};)js";
  const auto day = seen(page, script, "--blink-settings=preferredColorScheme=1");
  const auto night = seen(page, script, "--blink-settings=preferredColorScheme=0");
  EXPECT_GT(day.at("card").get<double>(), 0.8);
  EXPECT_LT(night.at("card").get<double>(), 0.05);
  for (const auto& scheme : {day, night}) {
    EXPECT_GE(scheme.at("words").get<double>(), 7);
    EXPECT_GE(scheme.at("muted").get<double>(), 4.5);
  }
}

TEST(HtmlReport, TextOfOthersIsEscaped) {
  EXPECT_EQ(html_escaped("<a \"b\" & c>"), "&lt;a &quot;b&quot; &amp; c&gt;");
  EXPECT_EQ(html_escaped("rho \xcf\x81"), "rho \xcf\x81");
  EXPECT_EQ(html_escaped("\xff\x01 \xcf"), "?? ?");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-123), "-123");
}

TEST(ErrorMap, CellsAreTheWorstOfTheirBlock) {
  const Sample sample;
  const ErrorMap& map = *sample.extras.error_map;
  EXPECT_EQ(map.component, "failing");
  EXPECT_EQ(map.output, "grads/x");
  EXPECT_EQ(map.shape, (Shape{4, 1, 1}));
  ASSERT_EQ(map.share.shape(), (Shape{4, 1}));
  EXPECT_GT(map.share[3], 1);
  for (Index row = 0; row < 3; ++row) EXPECT_LE(map.share[row], 1);
  EXPECT_THAT(map.worst, HasSubstr("got 1000"));

  // [100, 4, 60]: cells of 4 rows and 2 columns, the wrong element in the first.
  const Parameters large = Parameters::parse("D=60 H=4 T=100 documents=100");
  FakeTarget wrong = cheating([](const Parameters&, const Arrays&, Arrays& out) {
    out.at("outputs/y").set(0, std::numeric_limits<double>::infinity());
  });
  const auto blocks = error_map(averaging(), wrong, {large, 1}, "outputs/y");
  ASSERT_TRUE(blocks);
  EXPECT_EQ(blocks->row_block, 4);
  EXPECT_EQ(blocks->column_block, 2);
  EXPECT_EQ(blocks->share.shape(), (Shape{100, 30}));
  for (Index i = 1; i < blocks->share.size(); ++i) EXPECT_LE(blocks->share[i], 1);
  EXPECT_EQ(blocks->share[0], std::numeric_limits<double>::infinity());
}

TEST(TrainingCurve, IsReadFromALogThatAKillMayHaveCutShort) {
  const ScratchFolder folder;
  const auto log = folder / "log.jsonl";
  write_file(log,
             "{\"step\": 0, \"loss\": 6.5, \"floor\": 3.25, \"more\": [1]}\n"
             "{\"step\": 0, \"validation_loss\": 6.25, \"floor\": null}\n{\"step\": 1, \"lo");
  const TrainingCurve curve = read_training_log(log);
  ASSERT_EQ(curve.training.size(), 1u);
  EXPECT_EQ(curve.training[0].loss, 6.5);
  EXPECT_EQ(curve.training[0].floor, 3.25);
  ASSERT_EQ(curve.validation.size(), 1u);
  EXPECT_FALSE(curve.validation[0].floor);

  EXPECT_THROW(read_training_log(folder / "absent"), InputError);
  write_file(log, "");
  EXPECT_THROW(read_training_log(log), InputError);
  write_file(log, "{\"step\": 0}\n{\"step\": 1, \"loss\": 6}\n");
  EXPECT_THROW(read_training_log(log), InputError);
}

TEST(KillLines, AreReadFromTheTableOfMutants) {
  const ScratchFolder folder;
  const auto file = folder / "kills.json";
  write_file(file, R"({"mutants": [{"name": "n", "trap": "own", "what": "w", "component": "c",
                                    "killed": true, "cases": 3, "why": "y"}]})");
  const auto lines = read_kill_lines(file);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].name, "n");
  EXPECT_EQ(lines[0].cases, 3);
  write_file(file, "{}");
  EXPECT_THROW(read_kill_lines(file), InputError);
  EXPECT_THROW(read_kill_lines(folder / "absent"), InputError);
}

}  // namespace
}  // namespace pairedhead::testing
