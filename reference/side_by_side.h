#pragma once

#include <exception>
#include <vector>

#include "reference/tensor.h"

namespace pairedhead::reference {

// work(0) ... work(count - 1), which must not depend on each other: at once, each without threads
// of its own, where `small`; else one after the other, each with all threads. Of several exceptions
// the first in order is rethrown.
template <class Work>
void side_by_side(Index count, bool small, const Work& work) {
  if (!small) {
    for (Index i = 0; i < count; ++i) work(i);
    return;
  }
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(count));
#pragma omp parallel for schedule(dynamic)
  for (Index i = 0; i < count; ++i) {
    try {
      work(i);
    } catch (...) {
      errors[static_cast<std::size_t>(i)] = std::current_exception();
    }
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace pairedhead::reference
