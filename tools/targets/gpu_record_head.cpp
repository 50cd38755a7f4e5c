#include "tools/targets/gpu_record_head.h"

#include <cmath>

#include "tools/components/fill.h"

namespace pairedhead {
namespace {

template <class T>
T* as(const gpu::DeviceMemory& memory) {
  return reinterpret_cast<T*>(memory.data());
}
__nv_bfloat16* bf16(const gpu::DeviceMemory& memory) { return as<__nv_bfloat16>(memory); }

std::size_t bytes_of(DType dtype, Index elements) {
  return size_of(dtype) * static_cast<std::size_t>(elements);
}

// Small enough not to saturate, large enough for logits of about unit variance.
Array draw_weights() {
  Array weights =
      filled("normal", DType::bf16, {RecordHead::vocabulary, RecordHead::width}, Random(2));
#pragma omp parallel for
  for (Index i = 0; i < weights.size(); ++i) weights.set(i, 0x1p-5 * weights.at(i));
  return weights;
}

Array draw_mtp_weights() {
  Array weights(DType::fp32, {3});
  for (Index k = 0; k < 3; ++k) weights.set(k, std::exp2(-static_cast<double>(k)));
  return weights;
}

Array draw_targets(Index tokens) {
  Random random(3);
  Array targets(DType::int32, {tokens});
  for (Index t = 0; t < tokens; ++t) {
    targets.set(t, static_cast<double>(random.integer(0, RecordHead::vocabulary - 1)));
  }
  return targets;
}

}  // namespace

Array DeviceMatrix::part(const gpu::Stream& stream, Index row, Index count, Index column,
                         Index width) const {
  Array array(dtype, {count, width});
  const std::size_t pitch = bytes_of(dtype, columns), wanted = bytes_of(dtype, width);
  CUDA_CHECK(cudaMemcpy2DAsync(array.bytes.data(), wanted,
                               data + bytes_of(dtype, row * columns + column), pitch, wanted,
                               static_cast<std::size_t>(count), cudaMemcpyDeviceToHost, stream));
  stream.synchronize();
  return array;
}

RecordHead::Codes::Codes(Index elements)
    : codes(static_cast<std::size_t>(elements)), transposed(static_cast<std::size_t>(elements)) {}

gpu::DeviceMemory RecordHead::upload(const Array& array) const {
  gpu::DeviceMemory memory(array.bytes.size());
  CUDA_CHECK(cudaMemcpyAsync(memory.data(), array.bytes.data(), array.bytes.size(),
                             cudaMemcpyHostToDevice, stream_));
  stream_.synchronize();
  return memory;
}

RecordHead::RecordHead(const gpu::Stream& stream, Index tokens)
    : stream_(stream),
      tokens_(tokens),
      mtp_weights_(draw_mtp_weights()),
      grad_loss_(to_array(Tensor<double>({1}, 0.125), DType::fp32)),
      x_(upload(filled("normal", DType::bf16, {tokens, width}, Random(1)))),
      lm_head_(upload(draw_weights())),
      targets_(upload(draw_targets(tokens))),
      weights_(upload(mtp_weights_)),
      grad_loss_scale_(upload(grad_loss_)),
      z_(bytes_of(DType::bf16, tokens * vocabulary)),
      logsumexp_(bytes_of(DType::fp32, tokens)),
      loss_(sizeof(float)),
      workspace_(gpu::softcap_loss_workspace_bytes({static_cast<int>(tokens), int{vocabulary}})),
      grad_x_(bytes_of(DType::bf16, tokens * width)),
      grad_lm_head_(bytes_of(DType::bf16, vocabulary * width)),
      x8_(tokens * width),
      w8_(vocabulary * width),
      g8_(tokens * vocabulary) {}

gpu::LossSettings RecordHead::settings() const {
  return {.mtp_weights = as<float>(weights_), .horizons = 3, .validation = false};
}

void RecordHead::quantise_activations(cudaStream_t stream) const {
  gpu::quantise_both_ways(bf16(x_), tokens_, width, gpu::fp8_scales().activation, x8_.rows(),
                          x8_.columns(), stream);
}

void RecordHead::quantise_weights(cudaStream_t stream) const {
  gpu::quantise_both_ways(bf16(lm_head_), vocabulary, width, gpu::fp8_scales().weight, w8_.rows(),
                          w8_.columns(), stream);
}

void RecordHead::forward(cudaStream_t stream) {
  head_fp8_forward(algebra_, shape(), x8_, w8_, bf16(z_), stream);
}

void RecordHead::loss(cudaStream_t stream) const {
  softcap_loss_forward({static_cast<int>(tokens_), int{vocabulary}}, bf16(z_),
                       as<std::int32_t>(targets_), settings(),
                       {.logsumexp = as<float>(logsumexp_), .loss = as<float>(loss_)},
                       workspace_.data(), stream);
}

void RecordHead::loss_backward(cudaStream_t stream) const {
  softcap_loss_backward_fp8({static_cast<int>(tokens_), int{vocabulary}}, bf16(z_),
                            as<float>(logsumexp_), as<std::int32_t>(targets_), settings(),
                            as<float>(grad_loss_scale_), gpu::fp8_scales().gradient, g8_.rows(),
                            g8_.columns(), stream);
}

void RecordHead::backward(cudaStream_t stream) {
  head_fp8_backward(algebra_, shape(), x8_, w8_, g8_, bf16(grad_x_), bf16(grad_lm_head_), stream);
}

void RecordHead::all(cudaStream_t stream) {
  quantise_activations(stream);
  quantise_weights(stream);
  forward(stream);
  loss(stream);
  loss_backward(stream);
  backward(stream);
}

Array RecordHead::logit_gradient(Index count) const {
  const Index first = tokens_ - count;
  const gpu::DeviceMemory gradient(bytes_of(DType::bf16, count * vocabulary));
  softcap_loss_backward({static_cast<int>(count), int{vocabulary}}, bf16(z_) + first * vocabulary,
                        as<float>(logsumexp_) + first, as<std::int32_t>(targets_) + first,
                        settings(), as<float>(grad_loss_scale_), bf16(gradient), stream_);
  return DeviceMatrix{gradient.data(), DType::bf16, count, vocabulary}.part(stream_, 0, count, 0,
                                                                            vocabulary);
}

}  // namespace pairedhead
