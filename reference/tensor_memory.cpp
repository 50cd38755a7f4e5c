#include "reference/tensor_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <memory_resource>
#include <new>

namespace pairedhead {
namespace {

std::size_t whole(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Blocks that fill such pages lie on them; smaller ones anywhere.
class LargePages : public std::pmr::memory_resource {
  static constexpr std::size_t page = std::size_t{2} << 20;

  static bool fills(std::size_t bytes) { return bytes > page / 2; }
  static std::align_val_t place(std::size_t bytes, std::size_t alignment) {
    return std::align_val_t(fills(bytes) ? std::max(page, alignment) : alignment);
  }

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (!fills(bytes)) return ::operator new(bytes, place(bytes, alignment));
    void* const block = ::operator new(whole(bytes, page), place(bytes, alignment));
    // A wish: where it is not granted, pages are small ones.
    madvise(block, whole(bytes, page), MADV_HUGEPAGE);
    return block;
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    ::operator delete(block, place(bytes, alignment));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

// So many blocks of a matrix of the tiny configuration, 72 KB or more, are several whole pages.
constexpr std::pmr::pool_options options{.max_blocks_per_chunk = 256,
                                         .largest_required_pool_block = std::size_t{4} << 20};

// Never destroyed, for a static tensor may outlive what is.
std::pmr::memory_resource& pools() {
  static auto& resource = *new std::pmr::synchronized_pool_resource(options, new LargePages);
  return resource;
}

}  // namespace

// In whole lines: libstdc++ 12 takes a block of 80 bytes for 72 that shall be aligned to 64.
void* allocate_tensor_memory(std::size_t bytes) {
  if (bytes > PTRDIFF_MAX - cache_line) throw std::bad_alloc();
  return pools().allocate(whole(bytes, cache_line), cache_line);
}

void free_tensor_memory(void* memory, std::size_t bytes) {
  pools().deallocate(memory, whole(bytes, cache_line), cache_line);
}

}  // namespace pairedhead
