#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>

// From tokens to the stream, and the gradients of the tables (SPEC §3.1). Every function launches
// on `stream` without synchronising, and throws CudaError on a failed launch, std::invalid_argument
// on a shape outside EmbeddingShape's bounds. Rows of C a multiple of 8 are 16-byte aligned; tokens
// are in [0, V), which nobody checks here.

namespace pairedhead::gpu {

struct EmbeddingShape {
  int tokens, width, vocabulary;  // T >= 1, C from 12 to 1024, V >= 1
};

// Bytes of scratch of the functions below that take one (contents are not kept).
std::size_t embedding_workspace_bytes(const EmbeddingShape& shape);

// SPEC §3.1 "Value embeddings": rows[t, :] = table[tokens[t], :]. tokens: int32 [T]; table: bf16
// [V, C]; rows: bf16 [T, C].
void gather_rows(const EmbeddingShape& shape, const std::int32_t* tokens,
                 const __nv_bfloat16* table, __nv_bfloat16* rows, cudaStream_t stream);

// SPEC §3.1.1-4 in one pass: e_t = table[tokens[t]], s_t = e_t + lam sig(<e_t[0:12], w>) e_{t-1},
// x0 = rms(s). w: bf16 [12], the smear gate; lam: fp32, device, the smear lambda; x0: bf16 [T, C].
void embed_smear_norm_forward(const EmbeddingShape& shape, const std::int32_t* tokens,
                              const __nv_bfloat16* table, const __nv_bfloat16* w, const float* lam,
                              __nv_bfloat16* x0, cudaStream_t stream);

// SPEC §5 "smear", "sum over x0". Incoming gradient of x0: grad_x0 + grad_x, bf16 [T, C] each,
// grad_x may be nullptr (what reaches x0 as the first layer's input). grad_e: bf16 [T, C]; grad_w:
// bf16 [12]; grad_lam: fp32. order: as sort_tokens leaves it, for the tables' gradients; sorted
// here, it takes hardly any time. All four are overwritten.
void embed_smear_norm_backward(const EmbeddingShape& shape, const std::int32_t* tokens,
                               const __nv_bfloat16* table, const __nv_bfloat16* w, const float* lam,
                               const __nv_bfloat16* grad_x0, const __nv_bfloat16* grad_x,
                               __nv_bfloat16* grad_e, __nv_bfloat16* grad_w, float* grad_lam,
                               void* order, void* workspace, cudaStream_t stream);

// The order in which scatter_rows adds: the tokens sorted, equal ones in the order of the text, and
// which rows they name. order: token_order_bytes, aligned to 8. Shared by all tables of a batch;
// embed_smear_norm_backward sorts as well.
std::size_t token_order_bytes(const EmbeddingShape& shape);
void sort_tokens(const EmbeddingShape& shape, const std::int32_t* tokens, void* order,
                 void* workspace, cudaStream_t stream);

// What goes into a table's gradient: rows, bf16 [T, C]; table, bf16 [V, C]. Where `overwrite`, rows
// of the table that no token names become zero and the others hold their sum alone; else the sum is
// added to what the row holds (a tied table's gradient from the head).
struct TableGradient {
  const __nv_bfloat16* rows;
  bool overwrite;
  __nv_bfloat16* table;
};
constexpr std::size_t most_tables = 4;  // the embedding and three of the values

// SPEC §5 "tied embedding", for up to most_tables at once: table[tokens[t], :] += rows[t, :], each
// row's sum in fp32 in an order that follows from the tokens alone, one rounding. order:
// sort_tokens' of the batch. No atomics.
void scatter_rows(const EmbeddingShape& shape, const void* order,
                  std::span<const TableGradient> gradients, void* workspace, cudaStream_t stream);

}  // namespace pairedhead::gpu
