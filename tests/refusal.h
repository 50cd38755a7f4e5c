#pragma once

#include <string>

#include "reference/error.h"

namespace pairedhead {

// The sentence of the InputError that `action` throws; "accepted" if it throws none.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace pairedhead
