#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "reference/dtype.h"
#include "reference/sharding.h"

// What a checkpoint holds of the trainer on the device; needs no CUDA.

namespace pairedhead::gpu {

// What a run needs to go on from here beside its tensors (SPEC §10).
struct TrainerProgress {
  Index step = 0;                        // the next one
  std::vector<float> frequency;          // [D], of both rotary tables
  double softmax_scale = 0.1;            // kappa
  Index long_blocks = 0;                 // the long window that they were made for
  bool split = false;                    // embed is its own parameter
  std::map<std::string, Index> updates;  // t of each parameter that Adam has moved
};

// A tensor of the state on the device: a parameter "parameters/qkvo.0", or what an optimizer keeps
// of one, "normuon/qkvo.0/moment", "adam/lm_head/first", "pending/lm_head".
struct StateTensor {
  std::string name;
  DType dtype;  // bf16, fp32 or uint16
  Shape shape;
  void* data;  // of the rows that this rank has, nullptr where it has none
  std::vector<reference::Owned> rows = {};  // by rank, which it has
  std::size_t bytes() const;                // of the whole
};

}  // namespace pairedhead::gpu
