#include "core/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace weir {
namespace {

constexpr int kFirstDescriptor = 3;

// The descriptors as they are passed on: above all numbers that they will have in the child, so
// that putting one into its place overwrites none of the others.
class HighDescriptors {
 public:
  ~HighDescriptors() {
    for (int fd : fds_) close(fd);
  }
  Status Add(int fd, int least) {
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, least);
    if (high < 0) return ErrnoStatus(errno, "cannot pass a descriptor to another process");
    fds_.push_back(high);
    return absl::OkStatus();
  }
  const std::vector<int>& fds() const { return fds_; }

 private:
  std::vector<int> fds_;
};

}  // namespace

StatusOr<ChildProcess> ChildProcess::Start(const Options& options) {
  const int behind = kFirstDescriptor + static_cast<int>(options.descriptors.size());
  HighDescriptors high;
  for (int fd : options.descriptors) WEIR_RETURN_IF_ERROR(high.Add(fd, behind));
  const bool own_error = options.error_descriptor >= 0;
  if (own_error) WEIR_RETURN_IF_ERROR(high.Add(options.error_descriptor, behind));

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (own_error) posix_spawn_file_actions_adddup2(&actions, high.fds().back(), STDERR_FILENO);
  for (size_t i = 0; i < options.descriptors.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, high.fds()[i],
                                     kFirstDescriptor + static_cast<int>(i));
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, behind);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> arguments{const_cast<char*>(options.path.c_str())};
  for (const std::string& argument : options.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, options.path.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error, fmt::format("cannot start '{}'", options.path));
  return ChildProcess(pid);
}

int ChildProcess::End() {
  int wait_status = 0;
  if (pid_ == 0) return wait_status;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  return wait_status;
}

std::optional<int> ChildProcess::Ended() {
  int wait_status = 0;
  if (pid_ == 0 || waitpid(pid_, &wait_status, WNOHANG) != pid_) return std::nullopt;
  pid_ = 0;
  return wait_status;
}

std::string DescribeWaitStatus(int wait_status) {
  if (WIFEXITED(wait_status)) {
    return fmt::format("exited with code {}", WEXITSTATUS(wait_status));
  }
  const int number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  const char* name = sigabbrev_np(number);
  if (name == nullptr) return fmt::format("was ended by signal {}", number);
  return fmt::format("was ended by SIG{} ({})", name, sigdescr_np(number));
}

bool EndedByItself(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return true;
  switch (WTERMSIG(wait_status)) {
    case SIGKILL:
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
    case SIGQUIT:
      return false;
    default:
      return true;
  }
}

}  // namespace weir
