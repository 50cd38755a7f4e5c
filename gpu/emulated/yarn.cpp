#include "gpu/emulated/yarn.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pairedhead::gpu::emulated {

void yarn_update(float* frequency, int head_dim, double* softmax_scale, int old_blocks,
                 int new_blocks, int window_unit) {
  const double shrink = static_cast<double>(old_blocks) / new_blocks;
  const double old_window = static_cast<double>(window_unit) * old_blocks;
  std::for_each_n(frequency, head_dim, [=](float& f) {
    const double turns = old_window * static_cast<double>(f) / (2 * std::numbers::pi);
    // 1 keeps a frequency that turns often inside the window, 0 stretches one that hardly turns.
    const double keep = std::clamp((turns - 1) / (32 - 1), 0.0, 1.0);
    f = static_cast<float>(static_cast<double>(f) * (shrink + keep * (1 - shrink)));
  });
  *softmax_scale *= 1 + 0.2 * std::log(static_cast<double>(new_blocks) / old_blocks);
}

}  // namespace pairedhead::gpu::emulated
