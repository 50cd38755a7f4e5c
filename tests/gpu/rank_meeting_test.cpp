#include "gpu/comm/rank_meeting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <future>
#include <string>
#include <thread>

#include "reference/error.h"

namespace pairedhead::gpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr auto patient = std::chrono::seconds(20);
constexpr auto impatient = std::chrono::seconds(1);

// A port that nobody listens at: tests of other processes run beside this one.
std::uint16_t free_port() {
  for (int port =
           20000 +
           static_cast<int>(std::hash<std::thread::id>()(std::this_thread::get_id()) / 64 % 20000);
       ; ++port) {
    try {
      RankSocket::listen(static_cast<std::uint16_t>(port));
      return static_cast<std::uint16_t>(port);
    } catch (const InputError&) {
    }
  }
}

RankEnvironment rank_of(int rank, int size, std::uint16_t port) {
  return {.rank = rank, .size = size, .local_rank = rank, .address = "127.0.0.1", .port = port};
}

Bytes bytes(const std::string& text) {
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

// What the function says, or why it failed.
std::string said(const std::function<std::string()>& function) {
  try {
    return function();
  } catch (const InputError& error) {
    return error.what();
  }
}

using Rank = std::function<std::string(RankMeeting&)>;

// What each of the ranks says, those without a function not coming at all.
std::vector<std::string> meet(const std::vector<Rank>& ranks, std::chrono::duration<double> time) {
  const std::uint16_t port = free_port();
  const int size = static_cast<int>(ranks.size());
  std::vector<std::future<std::string>> answers;
  for (int rank = 0; rank < size; ++rank) {
    const Rank function = ranks[static_cast<std::size_t>(rank)];
    answers.push_back(std::async(std::launch::async, [=]() -> std::string {
      if (!function) return "absent";
      return said([&] {
        RankMeeting meeting(rank_of(rank, size, port), time);
        return function(meeting);
      });
    }));
  }
  std::vector<std::string> all;
  for (auto& answer : answers) all.push_back(answer.get());
  return all;
}

std::string gathered(RankMeeting& meeting) {
  std::string all;
  for (int round = 0; round < 3; ++round) {
    const std::string mine(static_cast<std::size_t>(meeting.rank() + round),
                           static_cast<char>('a' + meeting.rank()));
    const Bytes got = meeting.gather(bytes(mine));
    all += std::string(reinterpret_cast<const char*>(got.data()), got.size()) + ";";
  }
  return all;
}

std::string stay(RankMeeting& meeting) {
  meeting.gather({});
  return "stayed";
}

TEST(RankMeeting, GathersEverybodysBytesInOrder) {
  for (const std::size_t size : {1u, 2u, 4u, 8u}) {
    std::string expected;
    for (std::size_t round = 0; round < 3; ++round) {
      for (std::size_t rank = 0; rank < size; ++rank) {
        expected += std::string(rank + round, static_cast<char>('a' + rank));
      }
      expected += ";";
    }
    const auto all = meet(std::vector<Rank>(size, gathered), patient);
    EXPECT_EQ(all, std::vector<std::string>(size, expected));
  }
}

TEST(RankMeeting, GathersMoreThanASocketHolds) {
  const auto large = [](RankMeeting& meeting) {
    const Bytes mine(std::size_t{3} << 20, static_cast<std::byte>(meeting.rank()));
    const Bytes all = meeting.gather(mine);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i] != static_cast<std::byte>(i / mine.size())) return std::string("wrong");
    }
    return std::to_string(all.size() >> 20) + " MiB";
  };
  EXPECT_THAT(meet({large, large}, patient), ElementsAre("6 MiB", "6 MiB"));
}

TEST(RankMeeting, NamesTheRanksThatNeverCame) {
  const auto all = meet({stay, stay, {}, {}}, impatient);
  for (const int rank : {0, 1}) {
    EXPECT_THAT(all[static_cast<std::size_t>(rank)],
                HasSubstr("within 1 s, never came: rank 2, rank 3"));
  }
}

TEST(RankMeeting, NamesRank0WhereNobodyListens) {
  EXPECT_THAT(meet({{}, stay}, impatient)[1], HasSubstr("within 1 s, it never came"));
}

TEST(RankMeeting, NamesTheRankThatLeft) {
  const auto leave = [](RankMeeting&) { return std::string("left"); };
  const std::string sentence = "ranks: expected rank 2 to stay to the end, it has left";
  EXPECT_THAT(meet({stay, stay, leave, stay}, patient),
              ElementsAre(sentence, sentence, "left", sentence));
  EXPECT_THAT(meet({leave, stay}, patient),
              ElementsAre("left", "ranks: expected rank 0 to stay to the end, it has left"));
}

TEST(RankMeeting, SeesThatARankHasLeftWithoutAskingIt) {
  const auto leave = [](RankMeeting& meeting) { return stay(meeting); };
  const auto watch = [](RankMeeting& meeting) {
    meeting.check_presence();
    meeting.gather({});
    const Clock::time_point end = Clock::now() + patient;
    while (Clock::now() < end) meeting.check_presence();
    return std::string("seen nothing");
  };
  EXPECT_THAT(meet({watch, leave}, patient),
              ElementsAre("ranks: expected rank 1 to stay to the end, it has left", "stayed"));
}

TEST(RankMeeting, NamesTheRankThatDoesNotAnswer) {
  std::promise<void> over;
  const std::shared_future<void> all_over = over.get_future().share();
  const auto sleep = [all_over](RankMeeting&) {
    all_over.wait();
    return std::string("slept");
  };
  const auto wake = [&over](RankMeeting& meeting) {
    std::string sentence = said([&] { return stay(meeting); });
    over.set_value();
    return sentence;
  };
  EXPECT_THAT(meet({wake, sleep}, impatient),
              ElementsAre("ranks: expected rank 1 within 1 s, it never came", "slept"));
}

TEST(RankMeeting, RefusesARankThatCountsOtherwise) {
  const std::uint16_t port = free_port();
  auto other = std::async(std::launch::async, [&] {
    return said([&] {
      const RankMeeting meeting(rank_of(1, 4, port), patient);
      return std::string("met");
    });
  });
  const std::string sentence = "ranks: expected WORLD_SIZE 2 of rank 1, got 4";
  EXPECT_EQ(said([&] {
              const RankMeeting meeting(rank_of(0, 2, port), patient);
              return std::string("met");
            }),
            sentence);
  EXPECT_EQ(other.get(), sentence);
}

TEST(RankMeeting, DoesNotTakeAStrangerForARank) {
  const std::uint16_t port = free_port();
  auto rank_1 = std::async(std::launch::async, [&] {
    const Clock::time_point end = Clock::now() + patient;
    RankSocket stranger;
    while (!stranger.open() && Clock::now() < end) stranger = RankSocket::call("127.0.0.1", port);
    stranger.send(bytes("GET / HTTP/1.1\r\n\r\n"), end);
    RankMeeting meeting(rank_of(1, 2, port), patient);
    return stay(meeting);
  });
  RankMeeting meeting(rank_of(0, 2, port), patient);
  EXPECT_EQ(stay(meeting), "stayed");
  EXPECT_EQ(rank_1.get(), "stayed");
}

TEST(RankMeeting, RefusesAPortThatIsTaken) {
  const std::uint16_t port = free_port();
  const RankSocket taken = RankSocket::listen(port);
  EXPECT_THAT(said([&] {
                RankMeeting(rank_of(0, 2, port), patient);
                return std::string("met");
              }),
              HasSubstr("expected port " + std::to_string(port) + " to be free"));
}

TEST(RankMeeting, RefusesAnAddressThatIsNone) {
  RankEnvironment environment = rank_of(1, 2, 20000);
  environment.address = "not an address";
  EXPECT_THAT(said([&] {
                RankMeeting(environment, impatient);
                return std::string("met");
              }),
              HasSubstr("MASTER_ADDR: expected a machine's address, got \"not an address\""));
}

}  // namespace
}  // namespace pairedhead::gpu
