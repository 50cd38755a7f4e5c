#include <gtest/gtest.h>

#include <set>

#include "tools/components/component.h"
#include "tools/components/fill.h"

namespace pairedhead {
namespace {

TEST(ComponentTable, NamesAreUniqueAndUnknownOnesRefused) {
  std::set<std::string> names;
  for (const Component& component : component_table()) {
    EXPECT_TRUE(names.insert(component.name).second) << component.name;
  }
  EXPECT_THROW(component_named("attention_tripled"), InputError);
}

// Every row keeps the promises that its consumers rely on, over drawn settings.
class EveryRow : public testing::TestWithParam<std::string> {};

TEST_P(EveryRow, DrawsWhatItChecksAndShapesWhatItComputes) {
  const Component& component = component_named(GetParam());
  Random random(11);
  std::vector<Parameters> settings = component.edges;
  for (int i = 0; i < 12; ++i) settings.push_back(component.draw(random, 0.03));
  for (const Parameters& parameters : settings) {
    SCOPED_TRACE(parameters.text());
    ASSERT_NO_THROW(component.check(parameters));
    EXPECT_EQ(Parameters::parse(parameters.text()), parameters);
    const Arrays inputs = component.inputs(parameters, 5);
    const Arrays again = component.inputs(parameters, 5);
    for (const auto& [name, array] : inputs) EXPECT_EQ(array.bytes, again.at(name).bytes) << name;
    if (parameters.has("T") && parameters.integer("T") > 64) continue;
    const Values values = component.reference(parameters, inputs, Rounding::exact());
    EXPECT_EQ(values.size(), component.outputs.size());
    for (const OutputRow& row : component.outputs) {
      EXPECT_EQ(values.at(row.key()).shape(), component.output_shape(parameters, row)) << row.key();
    }
  }
}

TEST_P(EveryRow, ShrinksToSettingsOfItsOwn) {
  const Component& component = component_named(GetParam());
  Random random(12);
  for (int i = 0; i < 10; ++i) {
    const Parameters parameters = component.draw(random, 0.3);
    for (const Parameters& smaller : component.shrink(parameters)) {
      SCOPED_TRACE(parameters.text() + " -> " + smaller.text());
      EXPECT_NE(smaller, parameters);
      EXPECT_NO_THROW(component.check(smaller));
    }
  }
}

std::vector<std::string> row_names() {
  std::vector<std::string> names;
  for (const Component& component : component_table()) names.push_back(component.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryRow, testing::ValuesIn(row_names()),
                         [](const auto& info) { return info.param; });

TEST(ComponentTable, MagnitudesBoundTheValuesOfEveryRatioRow) {
  for (const Component& component : component_table()) {
    ASSERT_EQ(component.judgement == Judgement::ratio, static_cast<bool>(component.magnitude))
        << component.name;
    if (!component.magnitude) continue;
    Random random(13);
    const Parameters parameters = component.draw(random, 0.02);
    const Arrays inputs = component.inputs(parameters, 5);
    const Values exact = component.reference(parameters, inputs, Rounding::exact());
    for (const auto& [key, magnitude] : component.magnitude(parameters, inputs)) {
      for (Index i = 0; i < magnitude.size(); ++i) {
        ASSERT_LE(std::abs(exact.at(key)[i]), magnitude[i] * (1 + 1e-12))
            << component.name << " " << key << " " << i;
      }
    }
  }
}

TEST(Fill, ValuesAreRepresentableAndRepeatable) {
  for (const std::string& word : fill_words()) {
    const Array a = filled(word, DType::bf16, {5000}, Random(3));
    EXPECT_EQ(a.bytes, filled(word, DType::bf16, {5000}, Random(3)).bytes);
    EXPECT_EQ(a.bytes, to_array(to_tensor(a), DType::bf16).bytes);
  }
  EXPECT_THROW(filled("purple", DType::bf16, {1}, Random(3)), InputError);
}

TEST(Components, RefuseBadSettingsInASentence) {
  const Component& paired = component_named("attention_paired");
  const std::string good =
      "T=4 H=6 D=16 documents=4 window=2 softmax_scale=0.1 fill=normal pairing=strided";
  ASSERT_NO_THROW(paired.check(Parameters::parse(good)));
  for (const auto& [name, value, needle] : {std::tuple{"H", "5", "even"},
                                            {"H", "0", "even"},
                                            {"D", "20", "multiple of 8"},
                                            {"D", "136", "8 to 128"},
                                            {"T", "0", "at least 1"},
                                            {"window", "0", "at least 1"},
                                            {"documents", "3", "sum to T"},
                                            {"documents", "5,-1", "at least 0"},
                                            {"softmax_scale", "0", "above 0"},
                                            {"pairing", "diagonal", "strided or adjacent"}}) {
    Parameters bad = Parameters::parse(good);
    bad.set(name, std::string(value));
    try {
      paired.check(bad);
      ADD_FAILURE() << name << "=" << value << " was accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(needle), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace pairedhead
