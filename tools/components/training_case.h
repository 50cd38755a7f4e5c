#pragma once

#include "reference/trainer.h"
#include "tools/components/component.h"

namespace pairedhead {

// What the rows that train share. Parameters:
//   ranks    1, 2, 4 or 8: they share the micro-batches of a step
//   layers H D F V skip backout pairing
//            the model, as tools/components/model_layout.h says; without `layers`:
//            reference::micro_config(), the record's eleven layers
// Every case has the micro configuration's schedule: 6 + 2 steps of T = 16, 32 and 48 whose windows
// grow twice, and whose embedding is split off after step 5.

reference::Config training_config(const Parameters& parameters);
// Of a trainer that stores as SPEC §2, §6 define it.
reference::TrainerSettings training_settings(const Parameters& parameters, Rounding rounding);

// A model of two or three layers, and ranks.
Parameters draw_training(Random& random);
std::vector<Parameters> shrink_training(const Parameters& parameters);
void check_training(const Parameters& parameters);  // throws InputError with one sentence

// Adds the parameters, families stacked, random and not zero, unlike SPEC's initial ones, of which
// some have no gradient; `embed` only where it is split. Few bits each, so that goldens stay small.
void add_parameters(const reference::Config& config, bool split, Random random, Arrays& arrays);
reference::ParameterSet<double> training_parameters(const reference::TrainerSettings& settings,
                                                    const Arrays& arrays);

// Documents of 1 to 20 tokens, of which training reads 16: more than enough for these steps.
Array training_text(const reference::Config& config, Index first_step, Index steps, Random random);
Array training_text(const reference::Config& config, Index tokens, Random random);
reference::Tokens tokens_of(const Array& array);

// The sequences alone, which is all that a trainer under test is given.
std::vector<reference::PackedSequence> packed(
    const std::vector<reference::ScoredSequence>& sequences);

// What a trajectory validates on, and the parameters whose norms are watched: one of each family.
inline constexpr Index trajectory_validation_sequences = 2, trajectory_validation_length = 64;
std::vector<std::string> watched_parameters(const reference::Config& config);

// fp32 values, on every machine the same but for one half way between two in ten million.
Tensor<double> in_fp32(const std::vector<double>& values);

}  // namespace pairedhead
