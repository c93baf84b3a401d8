#include "operators/transforms/plugin_keeper.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <vector>

#include "core/check.h"
#include "operators/plugin_host/futex.h"

namespace weir {
namespace {

using namespace plugin_host;

// What a slot may keep between two requests.
constexpr uint64_t kSlotBytesKept = 2 * limits::kIsolatedRequestBytes;

}  // namespace

StatusOr<std::string> FindPluginHost() {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) folders.push_back(program.parent_path());
  Dl_info library{};
  if (dladdr(reinterpret_cast<void*>(&FindPluginHost), &library) != 0 && library.dli_fname) {
    const auto path = std::filesystem::weakly_canonical(library.dli_fname, error);
    if (!error) folders.push_back(path.parent_path());
  }
  std::vector<std::string> tried;
  for (const auto& folder : folders) {
    for (const char* place : {"", "../bin", "../libexec/weir", "../../libexec/weir"}) {
      const auto path = (folder / place / "weir-plugin-host").lexically_normal();
      if (access(path.c_str(), X_OK) == 0) return path.string();
      tried.push_back(path.string());
    }
  }
  return absl::NotFoundError(
      fmt::format("the program that isolated plugins run in is missing; it should be one of {}",
                  fmt::join(tried, ", ")));
}

StatusOr<std::unique_ptr<PluginKeeper>> PluginKeeper::Start(const Options& options) {
  ChildProcess::Options child;
  WEIR_ASSIGN_OR_RETURN(child.path, FindPluginHost());
  std::unique_ptr<PluginKeeper> keeper(new PluginKeeper);
  WEIR_ASSIGN_OR_RETURN(keeper->request_, SharedMemory::Create("weir-plugin-requests", kAreaBytes,
                                                               SharedMemory::Access::kWriteHere));
  WEIR_ASSIGN_OR_RETURN(keeper->answer_, SharedMemory::Create("weir-plugin-answers", kAreaBytes,
                                                              SharedMemory::Access::kWriteThere));
  RequestHeader& requests = *new (keeper->request_.data()) RequestHeader;
  requests.weir_pid = getpid();
  requests.memory_max = options.memory_max;
  WEIR_RETURN_IF_ERROR(keeper->WriteSettings(options.settings));

  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "cannot make a socket for an isolated plugin");
  }
  keeper->control_ = ends[0];
  child.arguments = {options.label + ": "};
  child.descriptors = {ends[1], keeper->request_.fd(), keeper->answer_.fd(), options.plugin_fd};
  StatusOr<ChildProcess> started = ChildProcess::Start(child);
  close(ends[1]);
  if (!started.ok()) return started.status();
  keeper->keeper_ = *std::move(started);
  return keeper;
}

PluginKeeper::~PluginKeeper() {
  // The keeper ends its host, and what the plugin has started, when the socket is closed; it is
  // given the time for that.
  if (control_ >= 0) {
    shutdown(control_, SHUT_WR);
    char byte;
    timeval patience{1, 0};
    setsockopt(control_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while (recv(control_, &byte, sizeof(byte), 0) > 0) {
    }
    close(control_);
  }
}

Status PluginKeeper::WriteSettings(const PluginSettings& settings) {
  char* const area = request_.data() + kHeaderBytes;
  uint64_t used = settings.size() * 2 * sizeof(Extent);
  auto* extents = reinterpret_cast<Extent*>(area);
  const auto put = [&](const std::string& text) {
    if (used + text.size() > kSetupBytes) return false;
    std::memcpy(area + used, text.data(), text.size());
    *extents++ = {used, text.size()};
    used += text.size();
    return true;
  };
  for (const auto& [key, value] : settings) {
    if (used > kSetupBytes || !put(key) || !put(value)) {
      return absl::InvalidArgumentError(fmt::format(
          "its settings are more than {} bytes, too many for an isolated plugin", kSetupBytes));
    }
  }
  requests().setting_count = static_cast<uint32_t>(settings.size());
  return absl::OkStatus();
}

Status PluginKeeper::Gone() {
  gone_ = true;
  host_ = 0;
  return absl::UnavailableError("the keeper of an isolated plugin is gone");
}

Status PluginKeeper::Send(CommandKind kind) {
  const Command command{kind, host_};
  while (send(control_, &command, sizeof(command), MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return Gone();
  }
  return absl::OkStatus();
}

Status PluginKeeper::StartHost(bool check_only) {
  WEIR_CHECK(host_ == 0);
  requests().submitted.store(0, std::memory_order_release);
  host_ = ++last_host_;
  return Send(check_only ? CommandKind::kCheck : CommandKind::kStart);
}

StatusOr<int> PluginKeeper::EndHost() {
  if (host_ == 0) return 0;
  WEIR_RETURN_IF_ERROR(Send(CommandKind::kEnd));
  while (true) {
    const uint32_t seen = answers().bell.load(std::memory_order_acquire);
    WEIR_ASSIGN_OR_RETURN(const std::optional<int> ended, PollEnd());
    if (ended) return *ended;
    WaitForBell(seen, Milliseconds(20));
  }
}

StatusOr<std::optional<int>> PluginKeeper::PollEnd() {
  Report report;
  while (true) {
    const ssize_t size = recv(control_, &report, sizeof(report), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return std::nullopt;
    if (size != sizeof(report)) return Gone();
    if (report.host != host_) continue;
    host_ = 0;
    return report.wait_status;
  }
}

bool PluginKeeper::WaitUntilReady(Duration at_most, const std::atomic<bool>* stop,
                                  std::optional<int>& ended) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(at_most);
  const uint32_t host = host_;
  while (true) {
    const uint32_t seen = answers().bell.load(std::memory_order_acquire);
    if (answers().ready.load(std::memory_order_acquire) == host) return true;
    StatusOr<std::optional<int>> polled = PollEnd();
    if (!polled.ok()) polled = SIGKILL;  // of the keeper
    if (*polled) {
      ended = *polled;
      return answers().ready.load(std::memory_order_acquire) == host;
    }
    if (stop != nullptr && *stop) return false;
    if (std::chrono::steady_clock::now() > deadline) return false;
    WaitForBell(seen, Milliseconds(20));
  }
}

void PluginKeeper::WaitForBell(uint32_t seen, Duration at_most) {
  FutexWait(answers().bell, seen, at_most);
}

void PluginKeeper::TrimSlot(uint32_t slot) {
  const uint64_t offset = SlotOffset(slot) + kSlotBytesKept;
  for (SharedMemory* area : {&request_, &answer_}) {
    if (area->used_bytes() > kSlots * kSlotBytesKept + kSlotsOffset) {
      area->Free(offset, kSlotBytes - kSlotBytesKept);
    }
  }
}

}  // namespace weir
