#include "gpu/emulated/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "gpu/emulated/bf16.h"
#include "gpu/emulated/order.h"

namespace pairedhead::gpu::emulated {
namespace {

constexpr int tile_rows = 32;  // queries of a tile
constexpr int tile_keys = 48;  // keys of a tile; not a divisor of anything, so that edges are met
constexpr float log2_e = 1.44269504f;
constexpr float ln_2 = 0.693147181f;

using Floats = std::vector<float>;
using TileScores = std::array<float, tile_keys>;

// Flat rows [begin, end) of one document.
struct Segment {
  int begin, end;
};

std::vector<Segment> segments_of(const AttentionProblem& problem) {
  std::vector<Segment> segments;
  for (int n = 0; n + 1 < problem.entries; ++n) {
    const int begin = problem.cu_seqlens[n] * problem.rows_per_token;
    const int end = problem.cu_seqlens[n + 1] * problem.rows_per_token;
    if (begin < end) segments.push_back({begin, end});
  }
  return segments;
}

// One slot of a packed tensor: its flat rows, found through the three strides.
class SlotView {
 public:
  SlotView(const AttentionProblem& problem, HeadView view, int slot)
      : rows_(problem.tokens * problem.rows_per_token),
        rows_per_token_(problem.rows_per_token),
        head_dim_(problem.head_dim),
        view_(view),
        slot_(slot) {}

  // [rows, head_dim]
  Floats load() const {
    Floats values(size());
    for (int row = 0; row < rows_; ++row) {
      const std::uint16_t* from = at(row);
      float* to = values.data() + index(row, head_dim_);
      for (int d = 0; d < head_dim_; ++d) to[d] = from_bf16(from[d]);
    }
    return values;
  }

  // [head_dim, rows]: a channel of many keys lies together, so that scores of many keys are
  // computed together.
  Floats load_transposed() const {
    Floats values(size());
    for (int row = 0; row < rows_; ++row) {
      const std::uint16_t* from = at(row);
      for (int d = 0; d < head_dim_; ++d) {
        values[index(d, rows_) + static_cast<std::size_t>(row)] = from_bf16(from[d]);
      }
    }
    return values;
  }

  void store_row(int row, const float* values, float factor) const {
    std::uint16_t* to = at(row);
    for (int d = 0; d < head_dim_; ++d) to[d] = to_bf16(values[d] * factor);
  }

  static std::size_t index(int row, int width) {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
  }

 private:
  std::size_t size() const { return index(rows_, head_dim_); }
  std::uint16_t* at(int row) const {
    return view_.data + (row / rows_per_token_) * view_.stride_token +
           (row % rows_per_token_) * view_.stride_row + slot_ * view_.stride_slot;
  }

  int rows_, rows_per_token_, head_dim_;
  HeadView view_;
  int slot_;
};

// What one tile of queries may see, and in which order it looks.
struct QueryTile {
  Segment segment;
  int begin, end;                   // queries
  int first_key;                    // of the first query
  std::vector<int> key_tile_order;  // tiles of keys counted from first_key
};

// Keys of one row inside one tile of keys: lo <= S < hi; empty where hi <= lo.
struct KeyRange {
  int lo, hi;
  int count() const { return hi - lo; }
};

class SlotAttention {
 public:
  SlotAttention(const AttentionProblem& problem, int slot)
      : problem_(problem),
        slot_(slot),
        rows_(problem.tokens * problem.rows_per_token),
        head_dim_(problem.head_dim),
        scale_log2_(problem.softmax_scale * log2_e),
        order_(problem.order_seed + static_cast<std::uint64_t>(slot) * 0x9e3779b97f4a7c15ull),
        channel_order_(order_.shuffled(head_dim_)) {}

  SlotView view(HeadView head) const { return SlotView(problem_, head, slot_); }

  // Every tile of queries, in random order, that of documents included.
  std::vector<QueryTile> query_tiles() {
    std::vector<QueryTile> tiles;
    for (const Segment& segment : segments_of(problem_)) {
      for (int begin = segment.begin; begin < segment.end; begin += tile_rows) {
        const int end = std::min(begin + tile_rows, segment.end);
        const int first_key = std::max(segment.begin, begin - window());
        const int count = (end - first_key + tile_keys - 1) / tile_keys;
        tiles.push_back({segment, begin, end, first_key, order_.shuffled(count)});
      }
    }
    std::vector<QueryTile> shuffled;
    for (int i : order_.shuffled(static_cast<int>(tiles.size()))) {
      shuffled.push_back(std::move(tiles[static_cast<std::size_t>(i)]));
    }
    return shuffled;
  }

  KeyRange keys(const QueryTile& tile, int key_tile, int row) const {
    const int begin = tile.first_key + key_tile * tile_keys;
    const int lo = std::max(tile.segment.begin, row - window());
    return {std::max(begin, lo), std::min(begin + tile_keys, row + 1)};
  }

  // result[i] = row . column (range.lo + i) of a transposed operand, unscaled.
  void products(const float* row, const Floats& transposed, KeyRange range,
                TileScores& result) const {
    result.fill(0);
    for (int d : channel_order_) {
      const float* column = transposed.data() + SlotView::index(d, rows_) + range.lo;
      const float factor = row[d];
      for (int i = 0; i < range.count(); ++i) {
        result[static_cast<std::size_t>(i)] += factor * column[i];
      }
    }
  }

  void add_scaled(float* sum, float factor, const float* row) const {
    for (int d = 0; d < head_dim_; ++d) sum[d] += factor * row[d];
  }

  int rows() const { return rows_; }
  int head_dim() const { return head_dim_; }
  float scale_log2() const { return scale_log2_; }

 private:
  // A window beyond the batch is no window; the clamp keeps row - window from overflowing.
  int window() const { return std::min(problem_.window, rows_); }

  const AttentionProblem& problem_;
  int slot_, rows_, head_dim_;
  float scale_log2_;
  Order order_;
  std::vector<int> channel_order_;
};

// Online softmax of one query: the running maximum (base-2 exponent), sum and output.
struct RunningRow {
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0;
  Floats output;
};

void attend_tile(const SlotAttention& attention, const float* query_row, const Floats& key,
                 const Floats& value, KeyRange range, RunningRow& state) {
  TileScores scores;
  attention.products(query_row, key, range, scores);
  float maximum = state.maximum;
  for (int i = 0; i < range.count(); ++i) {
    float& score = scores[static_cast<std::size_t>(i)];
    score *= attention.scale_log2();
    maximum = std::max(maximum, score);
  }
  // exp2(-inf) = 0 discards the empty state of a row that has seen nothing yet.
  const float rescale = std::exp2(state.maximum - maximum);
  state.maximum = maximum;
  state.sum *= rescale;
  for (float& o : state.output) o *= rescale;
  for (int i = 0; i < range.count(); ++i) {
    const float probability = std::exp2(scores[static_cast<std::size_t>(i)] - maximum);
    state.sum += probability;
    attention.add_scaled(state.output.data(), through_bf16(probability),
                         value.data() + SlotView::index(range.lo + i, attention.head_dim()));
  }
}

// The inner product of each row of a with the same row of b.
Floats row_products(const Floats& a, const Floats& b, int head_dim) {
  const auto width = static_cast<std::size_t>(head_dim);
  Floats products(a.size() / width);
  for (std::size_t row = 0; row < products.size(); ++row) {
    for (std::size_t d = row * width; d < (row + 1) * width; ++d) products[row] += a[d] * b[d];
  }
  return products;
}

}  // namespace

void attention_forward(const AttentionProblem& problem, HeadView query, HeadView key,
                       HeadView value, HeadView y, float* logsumexp) {
  for (int slot = 0; slot < problem.slots; ++slot) {
    SlotAttention attention(problem, slot);
    const int head_dim = attention.head_dim();
    const Floats q = attention.view(query).load();
    const Floats k = attention.view(key).load_transposed();
    const Floats v = attention.view(value).load();
    const SlotView out = attention.view(y);
    float* slot_logsumexp = logsumexp + SlotView::index(slot, attention.rows());
    for (const QueryTile& tile : attention.query_tiles()) {
      for (int row = tile.begin; row < tile.end; ++row) {
        RunningRow state{.output = Floats(static_cast<std::size_t>(head_dim))};
        for (int key_tile : tile.key_tile_order) {
          const KeyRange range = attention.keys(tile, key_tile, row);
          if (range.count() <= 0) continue;
          attend_tile(attention, q.data() + SlotView::index(row, head_dim), k, v, range, state);
        }
        out.store_row(row, state.output.data(), 1 / state.sum);
        slot_logsumexp[row] = (state.maximum + std::log2(state.sum)) * ln_2;
      }
    }
  }
}

void attention_backward(const AttentionProblem& problem, HeadView query, HeadView key,
                        HeadView value, HeadView y, const float* logsumexp, HeadView grad_y,
                        HeadView grad_query, HeadView grad_key, HeadView grad_value) {
  for (int slot = 0; slot < problem.slots; ++slot) {
    SlotAttention attention(problem, slot);
    const int head_dim = attention.head_dim();
    const auto at = [head_dim](auto& values, int row) {
      return values.data() + SlotView::index(row, head_dim);
    };
    const Floats q = attention.view(query).load();
    const Floats k = attention.view(key).load();
    const Floats k_transposed = attention.view(key).load_transposed();
    const Floats v_transposed = attention.view(value).load_transposed();
    const Floats grad_o = attention.view(grad_y).load();
    const Floats delta = row_products(attention.view(y).load(), grad_o, head_dim);
    Floats dq(q.size()), dk(q.size()), dv(q.size());

    const float* slot_logsumexp = logsumexp + SlotView::index(slot, attention.rows());
    for (const QueryTile& tile : attention.query_tiles()) {
      for (int key_tile : tile.key_tile_order) {
        for (int row = tile.begin; row < tile.end; ++row) {
          const KeyRange range = attention.keys(tile, key_tile, row);
          if (range.count() <= 0) continue;
          TileScores scores, grad_probability;
          attention.products(at(q, row), k_transposed, range, scores);
          attention.products(at(grad_o, row), v_transposed, range, grad_probability);
          const float offset = slot_logsumexp[row] * log2_e;
          for (int i = 0; i < range.count(); ++i) {
            const auto n = static_cast<std::size_t>(i);
            const float p = std::exp2(scores[n] * attention.scale_log2() - offset);
            const float ds =
                through_bf16(p * (grad_probability[n] - delta[static_cast<std::size_t>(row)]));
            attention.add_scaled(at(dv, range.lo + i), through_bf16(p), at(grad_o, row));
            attention.add_scaled(at(dq, row), ds, at(k, range.lo + i));
            attention.add_scaled(at(dk, range.lo + i), ds, at(q, row));
          }
        }
      }
    }
    for (int row = 0; row < attention.rows(); ++row) {
      attention.view(grad_query).store_row(row, at(dq, row), problem.softmax_scale);
      attention.view(grad_key).store_row(row, at(dk, row), problem.softmax_scale);
      attention.view(grad_value).store_row(row, at(dv, row), 1);
    }
  }
}

}  // namespace pairedhead::gpu::emulated
