#pragma once

#include "golden/array.h"
#include "gpu/device_buffer.h"
#include "gpu/kernels/head.h"
#include "gpu/kernels/softcap_loss.h"

namespace pairedhead {

// A matrix on the device, row-major, of which parts are looked at.
struct DeviceMatrix {
  const std::byte* data;
  DType dtype;
  Index rows, columns;

  // Rows [row, row + count) and columns [column, column + width), once the stream's work is done.
  Array part(const gpu::Stream& stream, Index row, Index count, Index column, Index width) const;
};

// The fp8 head and the loss at the record's width and vocabulary, launched as a training step does
// it. The rows of the table draw their logits on the host, and there are 2.5e9 of them at T =
// 49152: here they are what the head makes of normal activations and weights.
class RecordHead {
 public:
  static constexpr Index width = 768, vocabulary = 50304;

  // T, a multiple of 16. Draws what goes in; throws CudaError where the device lacks the memory, 11
  // GB at T = 49152.
  RecordHead(const gpu::Stream& stream, Index tokens);

  Index tokens() const { return tokens_; }
  const gpu::Stream& stream() const { return stream_; }

  void quantise_activations(cudaStream_t stream) const;
  void quantise_weights(cudaStream_t stream) const;
  void forward(cudaStream_t stream);  // the product
  void loss(cudaStream_t stream) const;
  void loss_backward(cudaStream_t stream) const;  // codes of the gradient, in both layouts
  void backward(cudaStream_t stream);             // both products
  void all(cudaStream_t stream);                  // in this order

  // The bf16 gradient of the last `count` tokens' logits, from the kernel that stores it.
  Array logit_gradient(Index count) const;

  DeviceMatrix x() const { return {x_.data(), DType::bf16, tokens_, width}; }
  DeviceMatrix lm_head() const { return {lm_head_.data(), DType::bf16, vocabulary, width}; }
  DeviceMatrix targets() const { return {targets_.data(), DType::int32, 1, tokens_}; }
  DeviceMatrix z() const { return {z_.data(), DType::bf16, tokens_, vocabulary}; }
  DeviceMatrix logsumexp() const { return {logsumexp_.data(), DType::fp32, 1, tokens_}; }
  DeviceMatrix codes() const { return {g8_.codes.data(), DType::e5m2, tokens_, vocabulary}; }
  DeviceMatrix codes_transposed() const {
    return {g8_.transposed.data(), DType::e5m2, vocabulary, tokens_};
  }
  DeviceMatrix grad_x() const { return {grad_x_.data(), DType::bf16, tokens_, width}; }
  DeviceMatrix grad_lm_head() const {
    return {grad_lm_head_.data(), DType::bf16, vocabulary, width};
  }
  const Array& mtp_weights() const { return mtp_weights_; }
  const Array& grad_loss() const { return grad_loss_; }

 private:
  struct Codes {
    gpu::DeviceMemory codes, transposed;
    explicit Codes(Index elements);
    std::uint8_t* rows() const { return reinterpret_cast<std::uint8_t*>(codes.data()); }
    std::uint8_t* columns() const { return reinterpret_cast<std::uint8_t*>(transposed.data()); }
    operator gpu::Fp8Operand() const { return {rows(), columns()}; }
  };
  gpu::DeviceMemory upload(const Array& array) const;
  gpu::HeadShape shape() const { return {tokens_, width, vocabulary}; }
  gpu::LossSettings settings() const;

  const gpu::Stream& stream_;
  Index tokens_;
  gpu::LinearAlgebra algebra_;
  Array mtp_weights_, grad_loss_;
  gpu::DeviceMemory x_, lm_head_, targets_, weights_, grad_loss_scale_;
  gpu::DeviceMemory z_, logsumexp_, loss_, workspace_, grad_x_, grad_lm_head_;
  Codes x8_, w8_, g8_;
};

}  // namespace pairedhead
