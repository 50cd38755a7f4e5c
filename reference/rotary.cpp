#include "reference/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "reference/dtype.h"
#include "reference/mutant.h"
#include "reference/scalar.h"

namespace pairedhead::reference {
namespace {

void require_head_dim(Index head_dim) {
  if (head_dim < 8 || head_dim % 4 != 0) {
    throw InputError("rotary: expected a head width that is a multiple of 4 and at least 8, got " +
                     std::to_string(head_dim));
  }
}

// Position of column block `block` (0, or 1 in the paired table) in table row `token`.
Index table_position(Index token, Index block, bool paired) {
  if (mutated(Mutant::table_positions_from_one)) token += 1;
  if (!paired) return token;
  if (mutated(Mutant::paired_table_undoubled)) return token + block;
  if (mutated(Mutant::paired_table_unstaggered)) block = 0;
  if (mutated(Mutant::paired_table_blocks_swapped)) block = 1 - block;
  return 2 * token + block;
}

// cos and sin of one angle as the table stores them, the sine without its sign.
struct CosineSine {
  double cosine, sine;
};

CosineSine stored_factors(Index position, float frequency) {
  const float theta = static_cast<float>(position) * frequency;
  const auto cosine = static_cast<float>(std::cos(static_cast<double>(theta)));
  const auto sine = static_cast<float>(std::sin(static_cast<double>(theta)));
  return {round_to(DType::bf16, static_cast<double>(cosine)),
          round_to(DType::bf16, static_cast<double>(sine))};
}

CosineSine true_factors(Index position, float frequency) {
  const double theta = static_cast<double>(position) * static_cast<double>(frequency);
  return {std::cos(theta), std::sin(theta)};
}

template <class Factors>
RotaryTable make_table(const std::vector<float>& frequency, Index tokens, bool paired,
                       Factors factors) {
  const auto head_dim = static_cast<Index>(frequency.size());
  require_head_dim(head_dim);
  if (tokens < 1) {
    throw InputError("rotary table: expected at least 1 token, got " + std::to_string(tokens));
  }
  const Index blocks = paired ? 2 : 1;
  RotaryTable table{Tensor<double>({tokens, blocks * head_dim}),
                    Tensor<double>({tokens, blocks * head_dim})};
#pragma omp parallel for schedule(static) if (tokens * head_dim > 1 << 15)
  for (Index t = 0; t < tokens; ++t) {
    for (Index block = 0; block < blocks; ++block) {
      const Index position = table_position(t, block, paired);
      for (Index d = 0; d < head_dim; ++d) {
        Index source = d;
        if (mutated(Mutant::stationary_channels_rotated)) source = d % (head_dim / 2);
        float channel_frequency = frequency[static_cast<std::size_t>(source)];
        if (mutated(Mutant::frequency_exponent_of_count)) {
          // 1024^(-m/q) from the 1024^(-m/(q-1)) that came in, q = D/4.
          const auto quarter = static_cast<float>(head_dim) / 4;
          channel_frequency = std::pow(channel_frequency, (quarter - 1) / quarter);
        }
        const CosineSine f = factors(position, channel_frequency);
        const bool negative = (d % 2 == 1) != mutated(Mutant::rotary_sign);
        table.cosine(t, block * head_dim + d) = f.cosine;
        table.sine(t, block * head_dim + d) = negative ? -f.sine : f.sine;
      }
    }
  }
  return table;
}

// First table column that head h reads.
Index first_column(Index head, Index heads, Index head_dim, bool paired) {
  if (!paired || mutated(Mutant::paired_heads_unstaggered)) return 0;
  if (mutated(Mutant::stagger_by_flat_row)) return head / (heads / 2) * head_dim;
  return head % 2 * head_dim;
}

// The channel that channel d is rotated with.
Index rotation_partner(Index channel, Index head_dim) {
  if (mutated(Mutant::half_split_rotary)) return (channel + head_dim / 2) % head_dim;
  return channel ^ 1;
}

template <class Scalar>
void require_table(const Tensor<Scalar>& x, const Tensor<Scalar>& cosine,
                   const Tensor<Scalar>& sine, bool paired) {
  require_heads("x", x);
  if (x.dim(2) % 2 != 0) {
    throw InputError("rotary: expected an even head width, got " + std::to_string(x.dim(2)));
  }
  if (paired && x.dim(1) % 2 != 0) {
    throw InputError("rotary: expected an even number of heads to pair, got " +
                     std::to_string(x.dim(1)));
  }
  const Shape expected = {x.dim(0), (paired ? 2 : 1) * x.dim(2)};
  require_shape("cosine", cosine, expected);
  require_shape("sine", sine, expected);
}

template <class Scalar>
Tensor<Scalar> rotate(const Tensor<Scalar>& x, const Tensor<Scalar>& cosine,
                      const Tensor<Scalar>& sine, bool paired) {
  require_table(x, cosine, sine, paired);
  const Index tokens = x.dim(0), heads = x.dim(1), head_dim = x.dim(2);
  auto y = Tensor<Scalar>::unwritten(x.shape());
  for (Index t = 0; t < tokens; ++t) {
    for (Index h = 0; h < heads; ++h) {
      const Index column = first_column(h, heads, head_dim, paired);
      for (Index d = 0; d < head_dim; ++d) {
        y(t, h, d) = cosine(t, column + d) * x(t, h, d) +
                     sine(t, column + d) * x(t, h, rotation_partner(d, head_dim));
      }
    }
  }
  return y;
}

}  // namespace

RotaryState rotary_start(Index head_dim) {
  require_head_dim(head_dim);
  RotaryState state;
  state.frequency.assign(static_cast<std::size_t>(head_dim), 0.0f);
  const Index quarter = head_dim / 4;
  for (Index m = 0; m < quarter; ++m) {
    const double exponent = -static_cast<double>(m) / static_cast<double>(quarter - 1);
    const auto phi = static_cast<float>(std::pow(1024.0, exponent));
    state.frequency[static_cast<std::size_t>(2 * m)] = phi;
    state.frequency[static_cast<std::size_t>(2 * m + 1)] = phi;
  }
  return state;
}

RotaryState yarn_update(const RotaryState& state, Index old_blocks, Index new_blocks,
                        Index window_unit) {
  if (old_blocks < 1 || new_blocks < 1 || window_unit < 1) {
    throw InputError("yarn update: expected windows and a window unit >= 1, got " +
                     std::to_string(old_blocks) + ", " + std::to_string(new_blocks) + " and " +
                     std::to_string(window_unit));
  }
  if (mutated(Mutant::yarn_window_in_blocks)) window_unit = 1;
  const auto old_window = static_cast<double>(window_unit * old_blocks);
  double ratio = static_cast<double>(old_blocks) / static_cast<double>(new_blocks);
  if (mutated(Mutant::yarn_ratio_inverted)) ratio = 1 / ratio;
  RotaryState updated = state;
  for (float& frequency : updated.frequency) {
    const auto f = static_cast<double>(frequency);
    const double turns = old_window * f / (2 * std::numbers::pi);
    double keep = (turns - 1) / (32 - 1);
    if (!mutated(Mutant::yarn_without_clamp)) keep = std::clamp(keep, 0.0, 1.0);
    frequency = static_cast<float>(f * (ratio + keep * (1 - ratio)));
  }
  const double growth = static_cast<double>(new_blocks) / static_cast<double>(old_blocks);
  if (!mutated(Mutant::yarn_softmax_scale_kept)) {
    updated.softmax_scale *= 1 + 0.2 * std::log(growth);
  }
  return updated;
}

Index rotary_position(Index token, Index head, Pairing pairing) {
  return pairing == Pairing::none ? token : 2 * token + head % 2;
}

RotaryTable rotary_table(const std::vector<float>& frequency, Index tokens, bool paired) {
  return make_table(frequency, tokens, paired, stored_factors);
}

RotaryTable rotary_table_unrounded(const std::vector<float>& frequency, Index tokens, bool paired) {
  return make_table(frequency, tokens, paired, true_factors);
}

template <class Scalar>
Tensor<Scalar> rotary_apply(const Tensor<Scalar>& x, const Tensor<Scalar>& cosine,
                            const Tensor<Scalar>& sine, bool paired) {
  if (mutated(Mutant::fp32_tables)) {
    // As if the table had never been rounded to bf16.
    const RotaryTable table =
        rotary_table_unrounded(rotary_start(x.dim(2)).frequency, x.dim(0), paired);
    return rotate(x, cast<Scalar>(table.cosine), cast<Scalar>(table.sine), paired);
  }
  return rotate(x, cosine, sine, paired);
}

template <class Scalar>
Tensor<Scalar> rotary_apply_backward(const Tensor<Scalar>& grad_y, const Tensor<Scalar>& cosine,
                                     const Tensor<Scalar>& sine, bool paired) {
  if (mutated(Mutant::rotary_backward_same_angle)) {
    return rotary_apply(grad_y, cosine, sine, paired);
  }
  require_table(grad_y, cosine, sine, paired);
  const Index tokens = grad_y.dim(0), heads = grad_y.dim(1), head_dim = grad_y.dim(2);
  auto grad_x = Tensor<Scalar>::unwritten(grad_y.shape());
  for (Index t = 0; t < tokens; ++t) {
    for (Index h = 0; h < heads; ++h) {
      Index column = first_column(h, heads, head_dim, paired);
      if (paired && mutated(Mutant::rotary_backward_other_block)) column = head_dim - column;
      for (Index d = 0; d < head_dim; ++d) {
        const Index e = rotation_partner(d, head_dim);
        grad_x(t, h, d) =
            cosine(t, column + d) * grad_y(t, h, d) + sine(t, column + e) * grad_y(t, h, e);
      }
    }
  }
  return grad_x;
}

#define INSTANTIATE(Scalar)                                                                   \
  template Tensor<Scalar> rotary_apply(const Tensor<Scalar>&, const Tensor<Scalar>&,          \
                                       const Tensor<Scalar>&, bool);                          \
  template Tensor<Scalar> rotary_apply_backward(const Tensor<Scalar>&, const Tensor<Scalar>&, \
                                                const Tensor<Scalar>&, bool);
INSTANTIATE(double)
INSTANTIATE(Magnitude)
INSTANTIATE(Dual)
INSTANTIATE(Float128)
#undef INSTANTIATE

}  // namespace pairedhead::reference
