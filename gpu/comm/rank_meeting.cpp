#include "gpu/comm/rank_meeting.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <thread>

#include "reference/error.h"

namespace pairedhead::gpu {
namespace {

// The first that a rank says to rank 0. Whoever says something else is no rank of ours.
struct Greeting {
  std::array<char, 8> program = {'p', 'a', 'i', 'r', 'e', 'd', 'h', 'd'};
  std::int32_t size = 0, rank = 0;
};

// What comes before the bytes of every other message.
struct Header {
  std::uint64_t failed = 0;  // from rank 0: the bytes are the sentence that ends the meeting
  std::uint64_t bytes = 0;
};

constexpr auto time_to_greet = std::chrono::seconds(5);
constexpr auto between_calls = std::chrono::milliseconds(50);
// Others hear from rank 0 whom it missed, so they wait for longer than it does.
constexpr int patience_with_rank_0 = 2;

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class T>
std::span<std::byte> room_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

std::string text(RankMeeting::Seconds time) {
  std::ostringstream text;
  text << time.count() << " s";
  return text.str();
}

}  // namespace

RankMeeting::RankMeeting(const RankEnvironment& environment, Seconds patience)
    : environment_(environment),
      patience_(patience),
      to_(static_cast<std::size_t>(environment.size)) {
  if (environment.size == 1) return;
  if (environment.rank == 0) {
    wait_for_others();
  } else {
    call_rank_0();
  }
  gather({});  // nobody goes on before all are there
}

Clock::time_point RankMeeting::deadline(int times_patience) const {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(times_patience * patience_);
}

void RankMeeting::wait_for_others() {
  const RankSocket listening = RankSocket::listen(environment_.port);
  const Clock::time_point end_of_waiting = deadline(1);
  const auto here = [this] {
    return std::count_if(to_.begin(), to_.end(), [](const RankSocket& one) { return one.open(); });
  };
  while (here() < size() - 1) {
    RankSocket caller = listening.accept(end_of_waiting);
    if (!caller.open()) break;
    Greeting greeting;
    const Clock::time_point end_of_greeting =
        std::min<Clock::time_point>(end_of_waiting, Clock::now() + time_to_greet);
    if (caller.receive(room_of(greeting), end_of_greeting) != RankSocket::Result::done ||
        greeting.program != Greeting().program) {
      continue;
    }
    const std::string who = "rank " + std::to_string(greeting.rank);
    if (greeting.size != size()) {
      to_.push_back(std::move(caller));  // is told too
      end("ranks: expected WORLD_SIZE " + std::to_string(size()) + " of " + who + ", got " +
          std::to_string(greeting.size));
    }
    if (greeting.rank < 1 || greeting.rank >= size()) {
      end("ranks: expected ranks below " + std::to_string(size()) + ", got " + who);
    }
    RankSocket& place = to_[static_cast<std::size_t>(greeting.rank)];
    if (place.open()) {
      to_.push_back(std::move(caller));
      end("ranks: expected each rank once, got " + who + " twice");
    }
    place = std::move(caller);
  }
  if (here() == size() - 1) return;
  std::string missing;
  for (int rank = 1; rank < size(); ++rank) {
    if (to_[static_cast<std::size_t>(rank)].open()) continue;
    missing += (missing.empty() ? "rank " : ", rank ") + std::to_string(rank);
  }
  end("ranks: expected " + std::to_string(size()) + " at port " +
      std::to_string(environment_.port) + " within " + text(patience_) +
      ", never came: " + missing);
}

void RankMeeting::call_rank_0() {
  const Clock::time_point end_of_waiting = deadline(1);
  RankSocket& rank_0 = to_[0];
  while (!rank_0.open()) {
    rank_0 = RankSocket::call(environment_.address, environment_.port);
    if (rank_0.open()) break;
    if (Clock::now() >= end_of_waiting) {
      throw InputError("ranks: expected rank 0 at " + environment_.address + ":" +
                       std::to_string(environment_.port) + " within " + text(patience_) +
                       ", it never came");
    }
    std::this_thread::sleep_for(between_calls);
  }
  Greeting greeting;
  greeting.size = size();
  greeting.rank = rank();
  expect(rank_0.send(bytes_of(greeting), end_of_waiting), 0);
}

std::vector<std::byte> RankMeeting::gather(std::span<const std::byte> mine) {
  if (size() == 1) return {mine.begin(), mine.end()};
  if (rank() == 0) return collect(mine);
  const Header header = {.failed = 0, .bytes = mine.size()};
  // A rank 0 that has ended the meeting may have closed, but what it said last can still be read.
  const Clock::time_point end_of_sending = deadline(patience_with_rank_0);
  if (to_[0].send(bytes_of(header), end_of_sending) == RankSocket::Result::done) {
    to_[0].send(mine, end_of_sending);
  }
  return answer();
}

// Of rank 0: everybody's bytes, which everybody then gets.
std::vector<std::byte> RankMeeting::collect(std::span<const std::byte> mine) {
  std::vector<std::byte> all(mine.begin(), mine.end());
  const Clock::time_point end_of_waiting = deadline(1);
  for (int rank = 1; rank < size(); ++rank) {
    const RankSocket& socket = to_[static_cast<std::size_t>(rank)];
    Header header;
    expect(socket.receive(room_of(header), end_of_waiting), rank);
    const std::size_t before = all.size();
    all.resize(before + header.bytes);
    expect(socket.receive(std::span(all).subspan(before), end_of_waiting), rank);
  }
  const Header header = {.failed = 0, .bytes = all.size()};
  for (int rank = 1; rank < size(); ++rank) {
    const RankSocket& socket = to_[static_cast<std::size_t>(rank)];
    expect(socket.send(bytes_of(header), deadline(1)), rank);
    expect(socket.send(all, deadline(1)), rank);
  }
  return all;
}

// Of the others: what rank 0 has to say.
std::vector<std::byte> RankMeeting::answer() {
  const Clock::time_point end_of_waiting = deadline(patience_with_rank_0);
  Header header;
  expect(to_[0].receive(room_of(header), end_of_waiting), 0);
  std::vector<std::byte> bytes(header.bytes);
  expect(to_[0].receive(bytes, end_of_waiting), 0);
  if (header.failed == 0) return bytes;
  throw InputError(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void RankMeeting::check_presence() {
  for (int rank = 0; rank < size(); ++rank) {
    const RankSocket& socket = to_[static_cast<std::size_t>(rank)];
    if (socket.open() && socket.closed_by_other()) expect(RankSocket::Result::closed, rank);
  }
}

void RankMeeting::expect(RankSocket::Result result, int rank) {
  const std::string who = "rank " + std::to_string(rank);
  switch (result) {
    case RankSocket::Result::done:
      return;
    case RankSocket::Result::late:
      end("ranks: expected " + who + " within " + text(patience_) + ", it never came");
    case RankSocket::Result::closed:
      end("ranks: expected " + who + " to stay to the end, it has left");
  }
}

// Rank 0 tells the others why.
void RankMeeting::end(const std::string& sentence) {
  if (rank() == 0) {
    const Header header = {.failed = 1, .bytes = sentence.size()};
    for (const RankSocket& socket : to_) {
      if (!socket.open()) continue;
      const Clock::time_point end_of_telling = Clock::now() + time_to_greet;
      if (socket.send(bytes_of(header), end_of_telling) != RankSocket::Result::done) continue;
      socket.send(std::as_bytes(std::span(sentence)), end_of_telling);
    }
  }
  throw InputError(sentence);
}

}  // namespace pairedhead::gpu
