// CoordinatorLink: an executor's connection to its coordinator, which may go away and start again.
//
// With `away_max` 0 the executor ends with its coordinator. Else it goes on with what it does,
// connects anew, and ends only when the coordinator has been away for so long. What it sends
// meanwhile is dropped: the coordinator asks again (attempt_answers.h).
//
// All calls on the event loop's thread, as `on_message`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/environment.h"
#include "runtime/event_loop.h"
#include "runtime/net/connection.h"
#include "runtime/net/network_thread.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

class CoordinatorLink {
 public:
  struct Options {
    Address coordinator;
    Connection::Options connection;
    runtime::ExecutorHello hello;
    Duration away_max = 0;
  };
  // All references must outlive it. `ended` is called when the attempt is over (OK) or the
  // coordinator is gone for good, from any thread, perhaps while this process still works: nothing
  // of that counts any more.
  CoordinatorLink(NetworkThread& network, EventLoop& loop, Clock& clock, Options options,
                  std::function<void(const runtime::ToExecutor&)> on_message,
                  std::function<void(const Status&)> ended);

  // Once, first.
  void Connect();
  void Send(const runtime::ToCoordinator& message);
  // The last message has been sent: the attempt is over here.
  void Shutdown();
  // Does what is due; returns when to call next, at the latest.
  int64_t Tick(int64_t now_micros);

 private:
  void OnClosed(uint64_t generation, const Status& why);

  NetworkThread& network_;
  EventLoop& loop_;
  Clock& clock_;
  const Options options_;
  const std::function<void(const runtime::ToExecutor&)> on_message_;
  const std::function<void(const Status&)> ended_;

  std::unique_ptr<Connection> connection_;  // null: it is lost
  uint64_t generation_ = 0;                 // of the connection
  bool shut_down_ = false;
  int64_t lost_at_ = 0;  // 0: it is there
  int64_t connect_at_ = 0;
};

}  // namespace weir
