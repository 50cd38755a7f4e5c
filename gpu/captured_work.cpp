#include "gpu/captured_work.h"

#include "gpu/error.h"

namespace pairedhead::gpu {

Graph::Graph(cudaStream_t stream, const std::function<void()>& enqueue) {
  cudaGraph_t captured = nullptr;
  // Other threads, with streams of their own, go on as they like.
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(stream, &captured);
    cudaGraphDestroy(captured);
    throw;
  }
  CUDA_CHECK(cudaStreamEndCapture(stream, &captured));
  const cudaError_t result = cudaGraphInstantiate(&graph_, captured, 0);
  cudaGraphDestroy(captured);
  CUDA_CHECK(result);
}

Graph::~Graph() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

void Graph::launch(cudaStream_t stream) const { CUDA_CHECK(cudaGraphLaunch(graph_, stream)); }

}  // namespace pairedhead::gpu
