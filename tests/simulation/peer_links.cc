#include "tests/simulation/peer_links.h"

#include <algorithm>

#include "core/check.h"
#include "core/limits.h"

namespace weir::simulation {

SimPeerLinks::SimPeerLinks(SimProcess& process, SimNetwork& network, LinksByAddress& all,
                           Options options)
    : process_(process), network_(network), all_(all), options_(std::move(options)) {
  all_[options_.address] = this;
}

SimPeerLinks::~SimPeerLinks() { Close(); }

void SimPeerLinks::Prepare(const BuiltJob& job, const runtime::Deploy& deploy) {
  job_ = &job;
  parallelism_ = static_cast<int>(deploy.parallelism());
  own_ = static_cast<int>(deploy.executor());
  places_.assign(deploy.executors().begin(), deploy.executors().end());
  RemoteExchange::Options options;
  options.send = [this](int peer, FrameKind kind, uint32_t channel, std::string payload) {
    Send(peer, kind, channel, std::move(payload));
  };
  options.post = [this](std::function<void()> work) { process_.Post(std::move(work)); };
  options.on_failed = [this](const Status& status) { Fail(status); };
  exchange_ = std::make_unique<RemoteExchange>(std::move(options));
}

ChannelId SimPeerLinks::IdOf(const ChannelKey& key) const {
  return static_cast<ChannelId>((key.edge * parallelism_ + key.sender) * parallelism_ +
                                key.receiver);
}

std::shared_ptr<Channel> SimPeerLinks::Outgoing(const ChannelKey& key, size_t capacity_bytes,
                                                std::function<void()> wake_sender) {
  return exchange_->AddOutgoing(
      PeerOf(job_->graph.edges[key.edge].to, key.receiver), IdOf(key), job_->edges[key.edge].codec,
      std::min(capacity_bytes, options_.channel_bytes), std::move(wake_sender));
}

std::shared_ptr<Channel> SimPeerLinks::Incoming(const ChannelKey& key, size_t capacity_bytes,
                                                std::function<void()> wake_receiver) {
  return exchange_->AddIncoming(
      PeerOf(job_->graph.edges[key.edge].from, key.sender), IdOf(key), job_->edges[key.edge].codec,
      std::min(capacity_bytes, options_.channel_bytes), std::move(wake_receiver));
}

void SimPeerLinks::Connect(std::function<void(const Status&)> lost) {
  lost_ = std::move(lost);
  connected_ = true;
  if (!failure_.ok()) return lost_(failure_);
  for (const auto& [peer, frame] : std::exchange(early_, {})) OnFrame(peer, frame);
  // Of two executors the first connects, as soon as its channels stand.
  for (int peer = own_ + 1; peer < static_cast<int>(places_.size()); ++peer) ConnectTo(peer);
  MaybeStart();
  process_.After(limits::kMeshReadyMax, [this, alive = alive_] {
    if (*alive && !started_) Fail(absl::UnavailableError("the peers did not connect in time"));
  });
}

void SimPeerLinks::ConnectTo(int peer) {
  const auto refused = [this] {
    process_.After(process_.world().random().Delay(network_.typical_delay), [this, alive = alive_] {
      if (*alive) Fail(absl::UnavailableError("a peer refused the connection"));
    });
  };
  const auto found = all_.find(places_[peer].address());
  if (found == all_.end() || !found->second->process_.alive()) return refused();
  SimPeerLinks& other = *found->second;
  const auto closed = [](SimPeerLinks& links) {
    return [&links, alive = links.alive_](const Status& status) {
      if (!*alive) return;
      links.Fail(status.ok() ? absl::UnavailableError("a peer closed the connection")
                             : Annotate(status, "a peer is lost"));
    };
  };
  auto connection = network_.Connect({&process_, closed(*this)}, {&other.process_, closed(other)});
  peers_[peer] = {connection, 0, {}, 0};
  // The first thing on the connection says who it is.
  connection->Send(
      0,
      [&other, alive = other.alive_, connection, own = own_] {
        if (*alive) other.OnConnected(own, connection, 1);
      },
      network_.typical_delay);
}

void SimPeerLinks::OnConnected(int peer, std::shared_ptr<SimConnection> connection, int end) {
  peers_[peer] = {std::move(connection), end, {}, 0};
  MaybeStart();
}

void SimPeerLinks::MaybeStart() {
  if (started_ || !connected_ || !failure_.ok()) return;
  if (peers_.size() + 1 < places_.size()) return;
  started_ = true;
  exchange_->Start();
}

void SimPeerLinks::Send(int peer, FrameKind kind, uint32_t channel, std::string payload) {
  if (options_.bugs.barrier_overtakes) {
    Peer& to = peers_.at(peer);
    const bool was_held = !to.held.empty();
    const bool overtakes = was_held && kind == FrameKind::kBarrier && to.held_channel == channel;
    if (was_held && !overtakes) {
      SendNow(peer, FrameKind::kRows, to.held_channel, std::exchange(to.held, {}));
    }
    if (kind == FrameKind::kRows) {
      to.held = std::move(payload);
      to.held_channel = channel;
      // Not for long.
      process_.After(100, [this, alive = alive_, peer] {
        if (!*alive) return;
        Peer& late = peers_.at(peer);
        if (!late.held.empty()) {
          SendNow(peer, FrameKind::kRows, late.held_channel, std::exchange(late.held, {}));
        }
      });
      return;
    }
  }
  SendNow(peer, kind, channel, payload);
}

void SimPeerLinks::SendNow(int peer, FrameKind kind, uint32_t channel, const std::string& payload) {
  const Peer& to = peers_.at(peer);
  const auto found = all_.find(places_[peer].address());
  if (found == all_.end()) return;
  SimPeerLinks& other = *found->second;
  process_.world().Trace("frame", (static_cast<uint64_t>(kind) << 32) + channel, payload.size());
  to.connection->Send(
      to.end,
      [&other, alive = other.alive_, own = own_,
       frame = Frame{kind, channel, CopyToSlab(payload)}] {
        if (*alive) other.OnFrame(own, frame);
      },
      network_.typical_delay);
}

void SimPeerLinks::OnFrame(int peer, const Frame& frame) {
  if (connected_) {
    exchange_->OnFrame(peer, frame);
  } else {
    early_.emplace_back(peer, frame);
  }
}

void SimPeerLinks::Fail(const Status& status) {
  if (!failure_.ok()) return;
  failure_ = status;
  if (lost_) lost_(status);
}

void SimPeerLinks::Close() {
  if (!std::exchange(*alive_, false)) return;
  all_.erase(options_.address);
  for (auto& [peer, to] : peers_) to.connection->Close(to.end);
  exchange_.reset();
}

}  // namespace weir::simulation
