// PluginKeeper: Weir's end of an isolated plugin's processes: the keeper (operators/plugin_host/),
// which it starts, and through it one host at a time; and the memory that they share.
//
// Owned by one thread, which may wait; the request area may be filled by another one. A keeper ends
// with the thread that has started it, at the latest.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/child_process.h"
#include "core/environment.h"
#include "core/shared_memory.h"
#include "operators/plugin_host/protocol.h"
#include "operators/transforms/plugin_library.h"

namespace weir {

// Where weir-plugin-host is: beside this program, or where it was built or installed, as seen from
// the folders of this program and of libweir. NotFound lists where it was looked for.
StatusOr<std::string> FindPluginHost();

class PluginKeeper {
 public:
  struct Options {
    std::string label;        // in front of what the plugin prints
    int plugin_fd = -1;       // the library
    PluginSettings settings;  // of the instance
    uint64_t memory_max = 0;  // bytes that a host may allocate
  };
  static StatusOr<std::unique_ptr<PluginKeeper>> Start(const Options& options);
  ~PluginKeeper();

  // Has the plugin loaded by the keeper; else each host does it for itself. Before the first host.
  Status Load() { return Send(plugin_host::CommandKind::kLoad); }
  // Unavailable, here and below: the keeper is gone.
  Status StartHost(bool check_only);
  // Waits until the host has recorded its set-up. False: it took longer, or `stop` (which may be
  // null) has become true, or the host has ended before that, with the wait status `ended`.
  bool WaitUntilReady(Duration at_most, const std::atomic<bool>* stop, std::optional<int>& ended);
  bool has_host() const { return host_ != 0; }
  bool gone() const { return gone_; }
  // Ends the host, if there is one. Its wait status: it may have ended by itself just before.
  StatusOr<int> EndHost();
  // The wait status of the host, if it has ended by itself.
  StatusOr<std::optional<int>> PollEnd();

  // Waits for the bell to be other than `seen`, at most so long.
  void WaitForBell(uint32_t seen, Duration at_most);

  plugin_host::RequestHeader& requests() {
    return *reinterpret_cast<plugin_host::RequestHeader*>(request_.data());
  }
  const plugin_host::AnswerHeader& answers() const {
    return *reinterpret_cast<const plugin_host::AnswerHeader*>(answer_.data());
  }
  char* request_slot(uint32_t slot) { return request_.data() + plugin_host::SlotOffset(slot); }
  const char* answer_slot(uint32_t slot) const {
    return answer_.data() + plugin_host::SlotOffset(slot);
  }
  const char* answer_area() const { return answer_.data(); }
  // Gives memory back that large events have taken in a slot that is not in use.
  void TrimSlot(uint32_t slot);

 private:
  PluginKeeper() = default;
  Status WriteSettings(const PluginSettings& settings);
  Status Send(plugin_host::CommandKind kind);
  Status Gone();

  SharedMemory request_;
  SharedMemory answer_;
  int control_ = -1;
  uint32_t host_ = 0;  // the number of the one that runs; 0: none
  uint32_t last_host_ = 0;
  bool gone_ = false;
  ChildProcess keeper_;
};

}  // namespace weir
