#include "tests/simulation/network.h"

#include <algorithm>
#include <utility>

#include "core/limits.h"

namespace weir::simulation {

void SimConnection::Send(int from, std::function<void()> deliver, int64_t typical_delay) {
  if (!open_ || !ends_[from].process->alive()) return;
  End& to = ends_[1 - from];
  to.arrives = std::max(to.arrives, world_->now() + world_->random().Delay(typical_delay));
  const int64_t arrives = to.arrives;
  to.process->At(arrives, [self = shared_from_this(), arrives, index = 1 - from,
                           deliver = std::move(deliver)] {
    if (arrives <= self->lost_after_ && !self->ends_[index].told) deliver();
  });
}

void SimConnection::Close(int from) {
  if (!std::exchange(open_, false)) return;
  End& to = ends_[1 - from];
  Tell(1 - from, std::max(to.arrives, world_->now()) + world_->random().Delay(200),
       absl::OkStatus());
}

void SimConnection::Cut() {
  if (!std::exchange(open_, false)) return;
  world_->Tell("the link between {} and {} is cut", ends_[0].process->name(),
               ends_[1].process->name());
  lost_after_ = world_->now() + world_->random().Between(0, 500);
  for (int end = 0; end < 2; ++end) {
    const int64_t most = world_->random().OneIn(2) ? 1000 : limits::kHeartbeatTimeout;
    Tell(end, lost_after_ + 1 + world_->random().Between(0, most),
         absl::UnavailableError("nothing was heard any more"));
  }
}

void SimConnection::OnDeath(const SimProcess& process) {
  if (!has(process) || !std::exchange(open_, false)) return;
  const int survivor = ends_[0].process == &process ? 1 : 0;
  Tell(survivor, std::max(ends_[survivor].arrives, world_->now()) + world_->random().Delay(500),
       absl::UnavailableError("the connection was closed"));
}

void SimConnection::Tell(int end, int64_t at, Status why) {
  ends_[end].process->At(at, [self = shared_from_this(), end, why = std::move(why)] {
    End& told = self->ends_[end];
    if (std::exchange(told.told, true)) return;
    if (told.on_closed) std::exchange(told.on_closed, nullptr)(why);
  });
}

std::shared_ptr<SimConnection> SimNetwork::Connect(SimConnection::End a, SimConnection::End b) {
  auto connection = std::make_shared<SimConnection>();
  connection->world_ = &world_;
  connection->ends_[0] = std::move(a);
  connection->ends_[1] = std::move(b);
  connections_.push_back(connection);
  return connection;
}

void SimNetwork::OnDeath(const SimProcess& process) {
  for (const auto& weak : connections_) {
    if (auto connection = weak.lock()) connection->OnDeath(process);
  }
}

void SimNetwork::Stop(SimProcess& process, int64_t micros) {
  process.StopFor(micros);
  if (micros < limits::kHeartbeatTimeout) return;
  world_.After(limits::kHeartbeatTimeout, [this, &process] {
    if (!process.stopped()) return;
    for (const auto& weak : connections_) {
      const auto connection = weak.lock();
      if (connection != nullptr && connection->has(process)) connection->Cut();
    }
  });
}

std::shared_ptr<SimConnection> SimNetwork::Any() {
  std::erase_if(connections_, [](const auto& weak) {
    const auto connection = weak.lock();
    return connection == nullptr || !connection->open();
  });
  if (connections_.empty()) return nullptr;
  return connections_[world_.random().Below(connections_.size())].lock();
}

}  // namespace weir::simulation
