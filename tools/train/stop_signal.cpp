#include "tools/train/stop_signal.h"

#include <csignal>
#include <initializer_list>

namespace pairedhead {
namespace {

volatile std::sig_atomic_t last_signal = 0;

extern "C" void note_signal(int signal) {
  last_signal = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

StopSignal::StopSignal() {
  last_signal = 0;
  std::signal(SIGINT, note_signal);
  std::signal(SIGTERM, note_signal);
  std::signal(SIGXFSZ, SIG_IGN);
}

StopSignal::~StopSignal() {
  for (const int signal : {SIGINT, SIGTERM, SIGXFSZ}) std::signal(signal, SIG_DFL);
}

const char* StopSignal::received() const {
  return last_signal == SIGINT ? "SIGINT" : last_signal == SIGTERM ? "SIGTERM" : nullptr;
}

}  // namespace pairedhead
