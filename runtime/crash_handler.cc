#include "runtime/crash_handler.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <string_view>

#include "core/check.h"
#include "core/crash_site.h"

namespace weir {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kPathBytesMax = 4096;
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

char crash_file[kPathBytesMax];  // written before threads start; empty: none
std::atomic_flag crashing = ATOMIC_FLAG_INIT;

std::string_view NameOf(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGFPE:
      return "SIGFPE";
    case SIGILL:
      return "SIGILL";
    default:
      return "SIGABRT";
  }
}

// A line put together without allocation; what does not fit is cut off.
class Line {
 public:
  Line& operator<<(std::string_view text) {
    const size_t n = std::min(text.size(), sizeof bytes_ - used_);
    std::memcpy(bytes_ + used_, text.data(), n);
    used_ += n;
    return *this;
  }
  Line& operator<<(int64_t number) {
    char digits[24];
    auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
    return *this << std::string_view(digits, end - digits);
  }
  void WriteTo(int fd) const {
    size_t done = 0;
    while (done < used_) {
      const ssize_t n = write(fd, bytes_ + done, used_ - done);
      if (n <= 0) return;
      done += n;
    }
  }

 private:
  char bytes_[1024];
  size_t used_ = 0;
};

void Describe(int signal, Line& line) {
  const CrashSite& site = CurrentCrashSite();
  line << "signal " << signal << " (" << NameOf(signal) << ") ";
  const char* const stage = site.stage;
  const char* const component = site.component;
  const std::atomic<uint32_t>* const row = site.row;
  if (stage == nullptr) {
    char thread[17] = {};
    prctl(PR_GET_NAME, thread, 0, 0, 0);
    line << "outside of operators' code, in thread " << thread;
    return;
  }
  line << "in stage '" << stage << "' (subtask " << site.subtask.load() << ")";
  if (component != nullptr) line << ", " << component;
  if (row != nullptr) {
    line << ", at row " << row->load(std::memory_order_relaxed) << " of its batch";
  } else {
    line << ", row not known";
  }
}

void OnCrash(int signal, siginfo_t* info, void*) {
  // Of several threads that crash the first one tells; the others wait for its end.
  if (crashing.test_and_set()) {
    for (;;) pause();
  }
  Line line;
  if (info->si_code == SI_USER && info->si_pid != getpid()) {
    line << "weir: ended by signal " << signal << " (" << NameOf(signal) << ") from process "
         << info->si_pid << "\n";
    line.WriteTo(STDERR_FILENO);
  } else {
    Line what;
    Describe(signal, what);
    if (crash_file[0] != '\0') {
      const int fd = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      if (fd >= 0) {
        what.WriteTo(fd);
        fsync(fd);
        close(fd);
      }
    }
    line << "\nweir: crashed: ";
    line.WriteTo(STDERR_FILENO);
    what.WriteTo(STDERR_FILENO);
    Line note;
    note << "\nweir: that is what ran when it happened, so a suspect, not a proof: an earlier row "
            "or another thread may have broken the memory\n";
    note.WriteTo(STDERR_FILENO);
  }
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  raise(signal);  // blocked until this returns, to where it happened
}

}  // namespace

void InstallCrashHandler() {
  static CrashStack of_this_thread;
  struct sigaction action = {};
  action.sa_sigaction = OnCrash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (int signal : kSignals) WEIR_CHECK(sigaction(signal, &action, nullptr) == 0);
}

void SetCrashFile(const std::string& path) {
  if (path.size() >= kPathBytesMax) return;  // the line on stderr remains
  std::memcpy(crash_file, path.c_str(), path.size() + 1);
}

StatusOr<std::string> ReadCrashFile(Disk& disk, const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(std::string crash, ReadFile(disk, path));
  return crash.empty() ? "without a word about where" : std::move(crash);
}

CrashStack::CrashStack() : memory_(new char[kStackBytes]) {
  stack_t stack = {};
  stack.ss_sp = memory_.get();
  stack.ss_size = kStackBytes;
  WEIR_CHECK(sigaltstack(&stack, &before_) == 0);
}

CrashStack::~CrashStack() {
  before_.ss_flags &= SS_DISABLE;
  sigaltstack(&before_, nullptr);
}

}  // namespace weir
