#include "reference/tensor_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

namespace pairedhead {
namespace {

struct Block {
  unsigned char* bytes;
  std::size_t size;
  unsigned char mark;
};

Block marked_block(std::size_t size, unsigned char mark) {
  auto* const bytes = static_cast<unsigned char*>(allocate_tensor_memory(size));
  std::fill_n(bytes, size, mark);
  return {bytes, size, mark};
}

// Checks that nobody wrote into the block before it gives it back.
void give_back(const Block& block) {
  EXPECT_TRUE(std::all_of(block.bytes, block.bytes + block.size, [&](unsigned char byte) {
    return byte == block.mark;
  })) << block.size;
  free_tensor_memory(block.bytes, block.size);
}

// Below and above the pools' largest block, and about the size of a page.
constexpr std::size_t sizes[] = {1,
                                 64,
                                 72,
                                 4096,
                                 73728,
                                 1 << 20,
                                 (1 << 20) + 1,
                                 (2 << 20) - 64,
                                 2 << 20,
                                 4 << 20,
                                 (4 << 20) + 8,
                                 19 << 20};

TEST(TensorMemory, IsAlignedAndNobodyElses) {
  std::vector<Block> blocks;
  for (unsigned char round = 1; round < 4; ++round) {
    for (const std::size_t size : sizes) {
      blocks.push_back(marked_block(size, static_cast<unsigned char>(17 * round + size % 13)));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().bytes) % cache_line, 0U) << size;
    }
  }
  for (const Block& block : blocks) give_back(block);
}

// A gradient is made on one thread and used up on another.
TEST(TensorMemory, MayBeFreedOnAnotherThread) {
  constexpr unsigned char threads = 4;
  std::vector<std::vector<Block>> made(threads);
  const auto on_each_thread = [&](auto work) {
    std::vector<std::thread> running;
    for (unsigned char i = 0; i < threads; ++i) running.emplace_back(work, i);
    for (std::thread& thread : running) thread.join();
  };
  for (int round = 0; round < 3; ++round) {
    on_each_thread([&](unsigned char i) {
      for (const std::size_t size : sizes) {
        if (size < (2 << 20)) made[i].push_back(marked_block(size, i + 1));
      }
    });
    on_each_thread([&](unsigned char i) {
      std::vector<Block>& blocks = made[(i + 1) % threads];
      for (const Block& block : blocks) give_back(block);
      blocks.clear();
    });
  }
}

// Rounded up to whole lines it would be nothing.
TEST(TensorMemory, RefusesWhatNoNumberHolds) {
  EXPECT_THROW(static_cast<void>(allocate_tensor_memory(SIZE_MAX - 8)), std::bad_alloc);
}

}  // namespace
}  // namespace pairedhead
