#pragma once

#include <omp.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace pairedhead {

// Makes items 0 ... count - 1 by `make` on several threads and hands them to `take` in order, one
// at a time, on the calling thread. `take` returns whether to go on; what is being made then is
// dropped. An exception of either ends it and is rethrown; of several, the first in order. With
// more than one thread each works without OpenMP's own; threads = 0: as many as the machine has.
template <class Item>
void in_order(std::size_t count, int threads, const std::function<Item(std::size_t)>& make,
              const std::function<bool(std::size_t, Item)>& take) {
  const std::size_t wanted = threads > 0
                                 ? static_cast<std::size_t>(threads)
                                 : std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
  const std::size_t workers = std::min(wanted, count);
  if (workers <= 1) {
    for (std::size_t n = 0; n < count; ++n) {
      if (!take(n, make(n))) return;
    }
    return;
  }

  struct Made {
    Item item;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::size_t, Made> made;
  std::size_t next_to_make = 0, next_to_take = 0;
  bool stop = false;
  // What is made ahead of a slow item is kept in memory, so not too far ahead.
  const std::size_t ahead = 8 * workers;

  const auto work = [&] {
    omp_set_num_threads(1);
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] {
        return stop || next_to_make == count || next_to_make < next_to_take + ahead;
      });
      if (stop || next_to_make == count) return;
      const std::size_t n = next_to_make++;
      lock.unlock();
      Made result;
      try {
        result.item = make(n);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      made.emplace(n, std::move(result));
      changed.notify_all();
    }
  };

  std::vector<std::jthread> pool;
  for (std::size_t i = 0; i < workers; ++i) pool.emplace_back(work);
  const auto finish = [&] {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    pool.clear();
  };
  try {
    for (std::size_t n = 0; n < count; ++n) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return made.contains(n); });
      Made next = std::move(made.extract(n).mapped());
      next_to_take = n + 1;
      lock.unlock();
      changed.notify_all();
      if (next.error) std::rethrow_exception(next.error);
      if (!take(n, std::move(next.item))) break;
    }
  } catch (...) {
    finish();
    throw;
  }
  finish();
}

}  // namespace pairedhead
