#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <vector>

#include "gpu/arena.h"
#include "reference/config.h"

namespace pairedhead::gpu {

// Training keeps what the backward pass reads of every layer and takes the head's whole sequence at
// once; inference keeps one layer's buffers and takes the head piece by piece.
enum class Purpose { training, inference };

struct ModelExtent {
  Purpose purpose;
  int tokens;       // of the longest sequence
  int head_tokens;  // that the head takes at a time; in training all
};

// Left by the forward pass of one layer for its backward pass, and scratch.
struct LayerBuffers {
  __nv_bfloat16 *mixed, *a;             // [T, C]; a is the MLP's input where no attention is
  __nv_bfloat16* u;                     // [T, 3C]
  __nv_bfloat16 *query, *key;           // [T, C], after norm, rotary and shift
  __nv_bfloat16* value;                 // [T, C], after the value embedding; else inside u
  __nv_bfloat16 *y, *gated;             // [T, C]
  float* logsumexp;                     // [H, T]
  __nv_bfloat16 *attended, *mlp_input;  // [T, C]
  __nv_bfloat16* positive;              // [T, F]
  __nv_bfloat16* out;                   // [T, C], the stream after the layer
};
struct ModelBuffers {
  std::vector<LayerBuffers> layers;
  std::vector<__nv_bfloat16*> scaled;                  // [4C, C] a layer with attention: W'
  __nv_bfloat16 *x0, *head_input;                      // [T, C]
  std::vector<__nv_bfloat16*> value_embedding;         // [T, C] a table that a layer reads
  __nv_bfloat16 *squared, *hidden_gradient;            // [T, F]
  __nv_bfloat16* logits;                               // [T, V]
  float* logsumexp;                                    // [T]
  std::uint8_t *head_codes, *head_codes_transposed;    // e4m3 of lm_head, [V, C], [C, V]
  std::uint8_t *input_codes, *input_codes_transposed;  // e4m3 of head_input, [T, C], [C, T]
  std::uint8_t *logit_codes, *logit_codes_transposed;  // e5m2 of dz, [T, V], [V, T]
  __nv_bfloat16 *cosine[2], *sine[2];                  // plain [T, D], paired [T, 2D]
  // Gradients on their way down.
  __nv_bfloat16 *grad_stream[2], *grad_part, *grad_inner;  // [T, C]
  __nv_bfloat16 *grad_x0, *grad_skip, *grad_back;          // [T, C]
  __nv_bfloat16 *grad_u, *grad_query, *grad_key;           // [T, 3C], [T, C]
  std::vector<__nv_bfloat16*> grad_value_embedding;        // as value_embedding
  float* grad_gates;                                       // [T, 12]
  void* order;                                             // what sort_tokens leaves
  void* workspace;
};

// SPEC §15: any configuration that check_config accepts.
ModelBuffers cut_model_buffers(const reference::Config& config, const ModelExtent& extent,
                               Arena& arena);

}  // namespace pairedhead::gpu
