#include "gpu/gradient_exchange.h"

#include "gpu/kernels/gradient_sum.h"

namespace pairedhead::gpu {
namespace {

constexpr int micro_batches = 8;
constexpr std::int64_t unit = 8;  // elements: stretches arrive aligned for vector access

std::int64_t room(const Stretch& stretch) { return (stretch.count + unit - 1) / unit * unit; }
std::int64_t room(const std::vector<Stretch>& stretches) {
  std::int64_t elements = 0;
  for (const Stretch& stretch : stretches) elements += room(stretch);
  return elements;
}

std::size_t bytes(const Stretch& stretch, std::size_t size) {
  return static_cast<std::size_t>(stretch.count) * size;
}

// Messages with the stretches of a buffer, where they lie in the layout.
template <class T>
void add_messages(std::vector<Message>& messages, int peer, const std::vector<Stretch>& stretches,
                  const T* buffer) {
  for (const Stretch& stretch : stretches) {
    messages.push_back({peer, const_cast<T*>(buffer) + stretch.first, bytes(stretch, sizeof(T))});
  }
}

// The same, one behind the other.
void add_packed_messages(std::vector<Message>& messages, int peer,
                         const std::vector<Stretch>& stretches, std::byte* buffer,
                         std::size_t size) {
  for (const Stretch& stretch : stretches) {
    messages.push_back({peer, buffer, bytes(stretch, size)});
    buffer += static_cast<std::size_t>(room(stretch)) * size;
  }
}

}  // namespace

GradientExchange::GradientExchange(const Ownership& ownership, Communicator& communicator,
                                   Arena& arena)
    : ownership_(ownership), communicator_(communicator) {
  const OwnedStretches& mine = ownership.all(communicator.rank());
  const auto cut = [&](const std::vector<Stretch>& stretches, std::size_t size) {
    return arena.take<std::byte>(room(stretches) * static_cast<std::int64_t>(size));
  };
  for (int rank = 0; rank < communicator.size(); ++rank) {
    const bool other = rank != communicator.rank();
    arrived_.bf16.push_back(
        other ? cut(mine.bf16, one_gradient_each() ? sizeof(__nv_bfloat16) : sizeof(float))
              : nullptr);
    arrived_.fp32.push_back(other ? cut(mine.fp32, sizeof(float)) : nullptr);
  }
}

// Such ranks have no sum of their own: gradients travel as they are.
bool GradientExchange::one_gradient_each() const { return communicator_.size() == micro_batches; }

const GradientSums& GradientExchange::average(const GradientTree& tree, cudaStream_t stream) {
  if (communicator_.size() == 1) return tree.sum();
  if (one_gradient_each()) {
    average_of(tree.leaf(0).bf16, tree.leaf(0).fp32, tree, stream);
  } else {
    average_of(tree.sum().of_bf16, tree.sum().of_fp32, tree, stream);
  }
  return tree.spare();
}

template <class Bf16>
void GradientExchange::average_of(const Bf16* of_bf16, const float* of_fp32,
                                  const GradientTree& tree, cudaStream_t stream) {
  const OwnedStretches& mine = ownership_.all(communicator_.rank());
  std::vector<Message> sent, received;
  for (int peer = 0; peer < communicator_.size(); ++peer) {
    if (peer == communicator_.rank()) continue;
    add_messages(sent, peer, ownership_.all(peer).bf16, of_bf16);
    add_messages(sent, peer, ownership_.all(peer).fp32, of_fp32);
    const auto from = static_cast<std::size_t>(peer);
    add_packed_messages(received, peer, mine.bf16, arrived_.bf16[from], sizeof(Bf16));
    add_packed_messages(received, peer, mine.fp32, arrived_.fp32[from], sizeof(float));
  }
  communicator_.exchange(sent, received, stream);
  const GradientSums& sum = tree.spare();
  const GradientSums& half = tree.sum();  // with one gradient each, it holds no sum
  add_up(mine.bf16, of_bf16, arrived_.bf16, sum.of_bf16, half.of_bf16, stream);
  add_up(mine.fp32, of_fp32, arrived_.fp32, sum.of_fp32, half.of_fp32, stream);
}

// The upper levels of the tree whose lower ones each rank has added up.
template <class Gradient>
void GradientExchange::add_up(const std::vector<Stretch>& stretches, const Gradient* own,
                              const std::vector<std::byte*>& arrived, float* sum, float* half,
                              cudaStream_t stream) const {
  const int ranks = communicator_.size();
  const float mean = 1 / static_cast<float>(ranks);  // a power of two: no rounding
  std::int64_t at = 0;
  for (const Stretch& stretch : stretches) {
    const auto of = [&](int rank) {
      return rank == communicator_.rank()
                 ? own + stretch.first
                 : reinterpret_cast<const Gradient*>(arrived[static_cast<std::size_t>(rank)]) + at;
    };
    for (int rank = 0; rank < ranks; rank += 2) {
      float* const node = (rank < 4 ? sum : half) + stretch.first;
      const bool whole = rank + 2 == ranks && ranks < 8;
      add_gradients(stretch.count, of(rank), of(rank + 1), rank % 4 == 0 ? nullptr : node, node,
                    stream, whole ? mean : 1);
    }
    if (ranks == 8) {
      add_gradients(stretch.count, sum + stretch.first, half + stretch.first, nullptr,
                    sum + stretch.first, stream, mean);
    }
    at += room(stretch);
  }
}

void GradientExchange::share(const ParameterBuffers& parameters, cudaStream_t stream) {
  std::vector<Message> sent, received;
  const auto add = [&](std::vector<Message>& messages, int peer, int owner) {
    add_messages(messages, peer, ownership_.alone(owner).bf16, parameters.bf16);
    add_messages(messages, peer, ownership_.alone(owner).fp32, parameters.fp32);
  };
  for (int peer = 0; peer < communicator_.size(); ++peer) {
    if (peer == communicator_.rank()) continue;
    add(sent, peer, communicator_.rank());
    add(received, peer, peer);
  }
  communicator_.exchange(sent, received, stream);
}

}  // namespace pairedhead::gpu
