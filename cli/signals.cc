#include "cli/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <utility>

#include "cli/common.h"

namespace weir::cli {

SignalThread::SignalThread(std::initializer_list<int> signals) : last_(*(signals.end() - 1)) {
  sigemptyset(&signals_);
  for (const int signal : signals) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

void SignalThread::Watch(std::function<void(int signal)> on_signal) {
  done_ = false;
  thread_ = std::thread([this, on_signal = std::move(on_signal)] {
    for (;;) {
      int signal = 0;
      sigwait(&signals_, &signal);
      if (done_) return;
      on_signal(signal);
    }
  });
}

void SignalThread::Stop() {
  if (!thread_.joinable()) return;
  done_ = true;
  pthread_kill(thread_.native_handle(), last_);
  thread_.join();
}

std::function<void(int signal)> EndsAtOnceTheSecondTime(std::function<void()> end) {
  return [end = std::move(end), count = 0](int) mutable {
    if (count++ > 0) _exit(kInterrupted);
    end();
  };
}

}  // namespace weir::cli
