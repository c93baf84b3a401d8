// SimNetwork: connections between processes of the simulated cluster, as TCP makes them.
//
// What one end sends arrives at the other in order, each message some time later; nothing is known
// of the order between connections. A connection ends when an end closes it or dies, or is cut: of
// what is on the way then a beginning still arrives. Each end is told at a time of its own, soon
// or, where the link is cut, when its heartbeats have been missed; until then what it sends is
// lost, and it does not know. Used by one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/process.h"

namespace weir::simulation {

class SimConnection : public std::enable_shared_from_this<SimConnection> {
 public:
  struct End {
    SimProcess* process = nullptr;
    std::function<void(const Status&)> on_closed;  // at most once
    int64_t arrives = 0;  // what was sent last to this end; the next comes no earlier
    bool told = false;    // that it is over
  };

  // Has `deliver` run at the other end. from: 0 or 1.
  void Send(int from, std::function<void()> deliver, int64_t typical_delay);
  // Behind everything that was sent. This end is told nothing; what was on the way to it still
  // comes.
  void Close(int from);
  // Messages that would arrive later than the cut are lost.
  void Cut();
  bool open() const { return open_; }
  bool has(const SimProcess& process) const {
    return ends_[0].process == &process || ends_[1].process == &process;
  }
  // An end has died: its kernel, or that of the other end, notices.
  void OnDeath(const SimProcess& process);

 private:
  friend class SimNetwork;
  void Tell(int end, int64_t at, Status why);

  World* world_ = nullptr;
  End ends_[2];
  bool open_ = true;
  int64_t lost_after_ = kMaxTimestamp;
};

class SimNetwork {
 public:
  explicit SimNetwork(World& world) : world_(world) {}

  std::shared_ptr<SimConnection> Connect(SimConnection::End a, SimConnection::End b);
  // To be called when a process has died.
  void OnDeath(const SimProcess& process);
  // A process stands still for so long. Whoever hears nothing of it for too long takes it for lost;
  // that it hears only when it goes on.
  void Stop(SimProcess& process, int64_t micros);
  // Some open connection; null: there is none.
  std::shared_ptr<SimConnection> Any();

  int64_t typical_delay = 200;  // microseconds

 private:
  World& world_;
  std::vector<std::weak_ptr<SimConnection>> connections_;
};

}  // namespace weir::simulation
