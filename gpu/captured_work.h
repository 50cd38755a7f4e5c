#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <optional>
#include <utility>

namespace pairedhead::gpu {

// A CUDA graph, destroyed with its owner.
class Graph {
 public:
  Graph() = default;
  // Of what `enqueue` launches on the stream, none of which runs. Throws CudaError, and what
  // `enqueue` throws; then the stream is as it was.
  Graph(cudaStream_t stream, const std::function<void()>& enqueue);
  ~Graph();
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(graph_, other.graph_);
    return *this;
  }

  explicit operator bool() const { return graph_ != nullptr; }
  void launch(cudaStream_t stream) const;

 private:
  cudaGraphExec_t graph_ = nullptr;
};

// Work that a stream is given again and again, and that is the same as long as its key is: the
// first time it is enqueued as it is, so that what is chosen or loaded once is there; the second
// time a graph is made of it, which is one launch from then on.
template <class Key>
class CapturedWork {
 public:
  // enqueue: launches on this stream alone, without allocating or waiting, in buffers that stay
  // where they are.
  void run(const Key& key, cudaStream_t stream, const std::function<void()>& enqueue) {
    if (key_ != key) {
      key_ = key;
      graph_ = Graph();
      return enqueue();
    }
    if (!graph_) graph_ = Graph(stream, enqueue);
    graph_.launch(stream);
  }

 private:
  std::optional<Key> key_;  // of the last run
  Graph graph_;
};

}  // namespace pairedhead::gpu
