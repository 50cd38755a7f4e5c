#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gpu/comm/rank_environment.h"
#include "gpu/comm/rank_socket.h"

namespace pairedhead::gpu {

// The ranks of a run, each connected to rank 0 over TCP: for the few values that hosts exchange,
// and for seeing that one of them has gone. Every function throws InputError with one sentence that
// names the rank that did not come, came twice, or left; all ranks then say the same.
class RankMeeting {
 public:
  using Seconds = std::chrono::duration<double>;

  // Rank 0 listens, the others call until it answers; returns when all are there. `patience` is how
  // long a rank is waited for, here and later.
  RankMeeting(const RankEnvironment& environment, Seconds patience);

  int rank() const { return environment_.rank; }
  int size() const { return environment_.size; }
  Seconds patience() const { return patience_; }

  // The bytes of all ranks, one behind the other by rank. All ranks call it, in the same order.
  std::vector<std::byte> gather(std::span<const std::byte> mine);

  // Throws if a rank that this one is connected to has left; waits for nothing.
  void check_presence();

 private:
  Clock::time_point deadline(int times_patience) const;
  void wait_for_others();
  void call_rank_0();
  std::vector<std::byte> collect(std::span<const std::byte> mine);
  std::vector<std::byte> answer();
  void expect(RankSocket::Result result, int rank);
  [[noreturn]] void end(const std::string& sentence);

  RankEnvironment environment_;
  Seconds patience_;
  std::vector<RankSocket> to_;  // by rank: of rank 0 to the others, of the others to rank 0
};

}  // namespace pairedhead::gpu
