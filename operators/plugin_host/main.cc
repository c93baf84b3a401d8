// weir-plugin-host: the keeper of an isolated plugin (protocol.h), started by Weir and by nobody
// else. It links to nothing of Weir and to no library but the C++ one, so that the plugin has the
// process for itself and a host is a small process to copy.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "operators/plugin_host/host.h"
#include "operators/plugin_host/output_relay.h"

namespace weir::plugin_host {
namespace {

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "weir-plugin-host: cannot %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void WriteFile(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  // Where it is refused the process is what it was.
  [[maybe_unused]] const ssize_t written = write(fd, text, std::strlen(text));
  close(fd);
}

class Keeper {
 public:
  Keeper(Areas areas, std::string prefix);
  // Until Weir is gone.
  void Run();

 private:
  void Obey(const Command& command);
  void StartHost(const Command& command);
  [[noreturn]] void BecomeHost(bool check_only, pid_t keeper);
  void EndHost();
  void OnHostEnded();
  void EndDescendants();

  const Areas areas_;
  int output_read_ = -1;
  int output_write_ = -1;
  std::optional<OutputRelay> relay_;
  std::optional<LoadedPlugin> plugin_;  // none: each host loads it for itself

  pid_t host_ = 0;  // 0: there is none
  int host_fd_ = -1;
  uint32_t host_number_ = 0;
};

Keeper::Keeper(Areas areas, std::string prefix) : areas_(areas) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Die("make a pipe");
  output_read_ = ends[0];
  output_write_ = ends[1];
  fcntl(output_read_, F_SETFL, O_NONBLOCK);
  relay_.emplace(output_read_, STDERR_FILENO, std::move(prefix));
}

void Keeper::Run() {
  for (;;) {
    pollfd waits[] = {{kControlFd, POLLIN, 0}, {output_read_, POLLIN, 0}, {host_fd_, POLLIN, 0}};
    if (poll(waits, host_fd_ >= 0 ? 3 : 2, -1) < 0 && errno != EINTR) Die("poll");
    if (waits[1].revents != 0) relay_->Pump(false);
    if (host_fd_ >= 0 && waits[2].revents != 0) OnHostEnded();
    if (waits[0].revents == 0) continue;
    Command command;
    const ssize_t size = recv(kControlFd, &command, sizeof(command), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size != sizeof(command)) break;  // Weir is gone
    Obey(command);
  }
  EndHost();
  EndDescendants();
  relay_->Pump(true);
}

void Keeper::Obey(const Command& command) {
  switch (command.kind) {
    case CommandKind::kLoad:
      // The plugin's code runs here for once: should it hang, the keeper still ends with Weir.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != areas_.request_header().weir_pid) std::exit(1);
      plugin_ = LoadPlugin(kPluginFile);
      prctl(PR_SET_PDEATHSIG, 0);
      return;
    case CommandKind::kStart:
    case CommandKind::kCheck:
      EndHost();
      StartHost(command);
      return;
    case CommandKind::kEnd:
      if (command.host == host_number_) EndHost();
      return;
  }
}

void Keeper::StartHost(const Command& command) {
  AnswerHeader& answers = areas_.answer_header();
  answers.answered = answers.ready = answers.rows_begun = 0;
  host_number_ = command.host;
  const pid_t keeper = getpid();
  host_ = fork();
  if (host_ == 0) BecomeHost(command.kind == CommandKind::kCheck, keeper);
  if (host_ > 0) host_fd_ = static_cast<int>(syscall(SYS_pidfd_open, host_, 0));
  if (host_ < 0 || host_fd_ < 0) Die("start a host");
}

void Keeper::BecomeHost(bool check_only, pid_t keeper) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != keeper) _exit(1);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  signal(SIGPIPE, SIG_DFL);
  dup2(output_write_, STDOUT_FILENO);
  dup2(output_write_, STDERR_FILENO);
  if (!plugin_) plugin_ = LoadPlugin(kPluginFile);
  close_range(STDERR_FILENO + 1, ~0u, 0);
  const uint64_t bytes = areas_.request_header().memory_max;
  const rlimit memory{bytes, bytes};
  setrlimit(RLIMIT_DATA, &memory);
  std::exit(RunHost(areas_, *plugin_, host_number_, check_only));
}

void Keeper::EndHost() {
  if (host_ == 0) return;
  kill(host_, SIGKILL);
  OnHostEnded();
}

void Keeper::OnHostEnded() {
  Report report;
  report.host = host_number_;
  while (waitpid(host_, &report.wait_status, 0) < 0 && errno == EINTR) {
  }
  EndDescendants();
  host_ = 0;
  close(host_fd_);
  host_fd_ = -1;
  relay_->Pump(true);
  (void)send(kControlFd, &report, sizeof(report), MSG_NOSIGNAL);
  areas_.Ring();
}

// Processes that the plugin has started become the keeper's when their parent is gone.
void Keeper::EndDescendants() {
  while (true) {
    const pid_t gone = waitpid(-1, nullptr, WNOHANG);
    if (gone > 0) continue;
    if (gone < 0) return;  // there are none
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    FILE* children = std::fopen(path, "re");
    if (children == nullptr) return;
    int pid = 0;
    while (std::fscanf(children, "%d", &pid) == 1) kill(pid, SIGKILL);
    std::fclose(children);
    (void)waitpid(-1, nullptr, 0);
  }
}

char* Map(int fd, int access, const char* what) {
  void* area = mmap(nullptr, kAreaBytes, access, MAP_SHARED, fd, 0);
  if (area == MAP_FAILED) Die(what);
  close(fd);
  return static_cast<char*>(area);
}

int Main(const char* prefix) {
  close_range(kPluginFd + 1, ~0u, 0);
  Areas areas;
  areas.request = Map(kRequestFd, PROT_READ, "map the requests");
  areas.answer = Map(kAnswerFd, PROT_READ | PROT_WRITE, "map the answers");
  if (areas.request_header().protocol != kProtocol) {
    errno = EPROTO;
    Die("work with another version of Weir");
  }
  fcntl(kControlFd, F_SETFD, FD_CLOEXEC);
  fcntl(kPluginFd, F_SETFD, FD_CLOEXEC);
  // When memory runs out in the whole machine, these processes go first.
  WriteFile("/proc/self/oom_score_adj", "1000");
  // No core dumps: an event that crashes is not worth one, and there may be many.
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGPIPE, SIG_IGN);
  Keeper(areas, prefix).Run();
  return 0;
}

}  // namespace
}  // namespace weir::plugin_host

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "weir-plugin-host is started by weir, for plugins that run isolated\n");
    return 64;
  }
  return weir::plugin_host::Main(argv[1]);
}
