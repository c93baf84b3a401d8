// A plugin that does to its process what no plugin should, as the type of an event says; every
// other event is kept. With the setting `tally` it counts the events of each tenant in a state and
// emits each with its number in place of its line.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "operators/plugin.h"

namespace {

using weir::plugin::Event;
using weir::plugin::Output;

// [begin, end) of the memory that is mapped from a file with this in its name.
struct Mapping {
  char* begin = nullptr;
  char* end = nullptr;
};
Mapping Find(const char* name) {
  Mapping found;
  FILE* maps = std::fopen("/proc/self/maps", "r");
  char line[4096];
  while (maps != nullptr && std::fgets(line, sizeof(line), maps) != nullptr) {
    void *begin, *end;
    if (std::strstr(line, name) == nullptr) continue;
    if (std::sscanf(line, "%p-%p", &begin, &end) != 2) continue;
    found = {static_cast<char*>(begin), static_cast<char*>(end)};
    break;
  }
  if (maps != nullptr) std::fclose(maps);
  return found;
}

void Allocate(std::vector<std::string>& to, size_t mebibytes) {
  for (size_t i = 0; i < mebibytes; ++i) to.emplace_back(1 << 20, 'x');
}

class Rogue {
 public:
  explicit Rogue(weir::plugin::Setup& setup) : leak_mebibytes_(setup.Integer("leak", 1)) {
    if (setup.Flag("tally", false)) {
      seen_ = setup.State<int64_t>("seen");
      counter_ = setup.Counter("events");
      setup.KeyBy(weir::plugin::Key::kTenant);
    }
    const std::string when = setup.Text("set-up", "");
    if (when == "crash") std::abort();
    if (when == "hang") Hang();
    if (when == "throw") throw std::runtime_error("cannot be set up");
  }

  void Process(const Event& event, Output& out) {
    const std::string_view act = event.type;
    ++events_;
    if (seen_) {
      const int64_t seen = out.Get(*seen_).value_or(0) + 1;
      out.Set(*seen_, seen);
      out.Count(*counter_);
      Act(act, event, out);
      out.Emit({.payload = R"({"id":")" + std::string(event.id) + R"(","n":)" +
                           std::to_string(seen) + "}"});
      return;
    }
    if (act == "drop") return;
    if (act == "nth") {  // in this process
      out.Emit({.payload = R"({"nth":)" + std::to_string(events_) + "}"});
      return;
    }
    Act(act, event, out);
    out.Keep();
  }

 private:
  [[noreturn]] static void Hang() {
    for (volatile bool on = true; on;) {
    }
    std::abort();
  }

  void Act(std::string_view act, const Event& event, Output& out) {
    if (act == "fail") out.Fail("no such airport");
    if (act == "rubbish") out.Emit({.payload = "rubbish"});
    if (act == "abort") std::abort();
    if (act == "segv") *nowhere_ = 1;
    if (act == "kill") kill(getpid(), SIGKILL);
    if (act == "exit") std::exit(3);
    if (act == "quick-exit") _exit(0);
    if (act == "overflow") Overflow(1);
    if (act == "hang") Hang();
    if (act == "sleep") sleep(1000);
    if (act == "stop") raise(SIGSTOP);
    if (act == "leak") Allocate(leaked_, static_cast<size_t>(leak_mebibytes_));
    if (act == "hog") {
      std::vector<std::string> mine;
      Allocate(mine, 1 << 20);
    }
    if (act == "emit") out.Emit({.payload = event.tenant});
    if (act == "scribble") {
      std::memset(Find("weir-plugin-answers").begin, 0x5a, 4096);
      Scribble();
    }
    if (act == "scribble-and-crash") {
      Scribble();
      *nowhere_ = 1;
    }
    if (act == "write-requests") Find("weir-plugin-requests").begin[5000] = 1;
    if (act == "unprotect-requests") {
      const Mapping memory = Find("weir-plugin-requests");
      if (mprotect(memory.begin, 1 << 20, PROT_READ | PROT_WRITE) == 0) {
        std::memset(memory.begin, 0, 1 << 20);
      } else {
        out.Fail("cannot write requests");
      }
    }
    if (act == "thread-crash") {
      std::thread([] { std::abort(); }).join();  // which takes this thread along
    }
    if (act == "close-all") close_range(0, ~0u, 0);
    if (act == "print") std::fprintf(stderr, "printed by %s\n", std::string(event.id).c_str());
    if (act == "flood") {
      for (int i = 0; i < 100'000; ++i) std::fprintf(stderr, "line %d of many\n", i);
    }
    if (act == "fork") {
      if (fork() == 0) {
        setsid();
        if (fork() == 0) {
          SetName(event.tenant);
          for (;;) pause();
        }
        _exit(0);
      }
    }
    if (act == "kill-parent") kill(getppid(), SIGKILL);
  }
  // Over all that it has answered so far, and what is behind.
  static void Scribble() {
    const Mapping memory = Find("weir-plugin-answers");
    const size_t slots = static_cast<size_t>(memory.end - memory.begin) / 4;
    for (int slot = 0; slot < 4; ++slot) {
      char* const end = memory.end - (3 - slot) * (slots & ~size_t{4095});
      std::memset(end - (1 << 30), 0x5a, 1 << 20);
    }
  }
  static void SetName(std::string_view name);
  int Overflow(int depth) {
    volatile char room[65536];
    room[0] = static_cast<char>(depth);
    return (events_ > 0 ? Overflow(depth + 1) : 0) + room[0];
  }

  const int64_t leak_mebibytes_;
  std::optional<weir::plugin::StateOf<int64_t>> seen_;
  std::optional<weir::plugin::Counter> counter_;
  int64_t events_ = 0;
  volatile int* volatile nowhere_ = nullptr;
  std::vector<std::string> leaked_;
};

void Rogue::SetName(std::string_view name) {
  // By which a test finds it.
  const int fd = open("/proc/self/comm", O_WRONLY);
  if (fd >= 0) {
    [[maybe_unused]] const ssize_t written = write(fd, name.data(), name.size());
    close(fd);
  }
}

}  // namespace

WEIR_PLUGIN(rogue, "1.0", Rogue)
