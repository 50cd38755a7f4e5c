#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "gpu/comm/communicator.h"
#include "reference/error.h"

namespace pairedhead::gpu {

// Ranks that are threads of this process and share one device. Messages are copies on the
// receiver's stream, which wait for the sender's and which the sender's waits for.
class LocalWorld {
 public:
  explicit LocalWorld(int size) : ranks_(static_cast<std::size_t>(size)) {
    for (Rank& rank : ranks_) {
      CUDA_CHECK(cudaEventCreateWithFlags(&rank.ready, cudaEventDisableTiming));
      CUDA_CHECK(cudaEventCreateWithFlags(&rank.done, cudaEventDisableTiming));
    }
  }
  ~LocalWorld() {
    for (const Rank& rank : ranks_) {
      cudaEventDestroy(rank.ready);
      cudaEventDestroy(rank.done);
    }
  }
  LocalWorld(const LocalWorld&) = delete;
  LocalWorld& operator=(const LocalWorld&) = delete;

  // Runs the function as every rank, each in a thread of its own. Throws what the first of them
  // threw; the others are then released from whatever they waited for.
  void run(const std::function<void(Communicator&)>& function) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size(); ++rank) {
      threads.emplace_back([&, rank] {
        try {
          CUDA_CHECK(cudaSetDevice(0));
          Member member(*this, rank);
          function(member);
        } catch (...) {
          const std::lock_guard lock(mutex_);
          if (!error_) error_ = std::current_exception();
          changed_.notify_all();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Rank {
    std::span<const Message> sent;
    std::span<const std::byte> bytes;
    cudaEvent_t ready = nullptr, done = nullptr;
  };

  class Member final : public Communicator {
   public:
    Member(LocalWorld& world, int rank) : world_(world), rank_(rank) {}

    int rank() const override { return rank_; }
    int size() const override { return world_.size(); }

    void exchange(std::span<const Message> sent, std::span<const Message> received,
                  cudaStream_t stream) override {
      Rank& mine = world_.at(rank_);
      mine.sent = sent;
      CUDA_CHECK(cudaEventRecord(mine.ready, stream));
      world_.meet();
      std::vector<std::size_t> taken(static_cast<std::size_t>(size()));  // of each one's messages
      for (const Message& message : received) {
        const Rank& peer = world_.at(message.peer);
        std::size_t& next = taken[static_cast<std::size_t>(message.peer)];
        while (next < peer.sent.size() && peer.sent[next].peer != rank_) ++next;
        if (next == peer.sent.size() || peer.sent[next].bytes != message.bytes) {
          throw std::logic_error("exchange: what is received was not sent");
        }
        CUDA_CHECK(cudaStreamWaitEvent(stream, peer.ready));
        CUDA_CHECK(cudaMemcpyAsync(message.data, peer.sent[next++].data, message.bytes,
                                   cudaMemcpyDeviceToDevice, stream));
      }
      for (int peer = 0; peer < size(); ++peer) {
        const auto& of_peer = world_.at(peer).sent;
        for (std::size_t i = taken[static_cast<std::size_t>(peer)]; i < of_peer.size(); ++i) {
          if (of_peer[i].peer != rank_) continue;
          throw std::logic_error("exchange: what was sent is not received");
        }
      }
      CUDA_CHECK(cudaEventRecord(mine.done, stream));
      world_.meet();
      for (const Message& message : sent) {
        CUDA_CHECK(cudaStreamWaitEvent(stream, world_.at(message.peer).done));
      }
      world_.meet();  // the events and messages may be used again
    }

    void wait(cudaStream_t stream) override { CUDA_CHECK(cudaStreamSynchronize(stream)); }

    std::vector<std::byte> gather(std::span<const std::byte> mine) override {
      world_.at(rank_).bytes = mine;
      world_.meet();
      std::vector<std::byte> all;
      for (int rank = 0; rank < size(); ++rank) {
        const auto& bytes = world_.at(rank).bytes;
        all.insert(all.end(), bytes.begin(), bytes.end());
      }
      world_.meet();
      return all;
    }

   private:
    LocalWorld& world_;
    int rank_;
  };

  int size() const { return static_cast<int>(ranks_.size()); }
  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }

  // Returns when all have come; throws where one of them has failed instead.
  void meet() {
    std::unique_lock lock(mutex_);
    const std::uint64_t round = round_;
    if (++here_ == ranks_.size()) {
      here_ = 0;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return round_ != round || error_; });
    if (round_ == round) throw InputError("ranks: another one has failed");
  }

  std::vector<Rank> ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t here_ = 0;
  std::uint64_t round_ = 0;
  std::exception_ptr error_;
};

}  // namespace pairedhead::gpu
