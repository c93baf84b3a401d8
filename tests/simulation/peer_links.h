// SimPeerLinks: the connections between the executors of a simulated attempt, with the real
// RemoteExchange on both ends; in place of ExecutorLinks, which has sockets.
//
// Frames that come before the channels here are made wait, as there.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/exchange/remote_exchange.h"
#include "runtime/worker/executor_links.h"
#include "tests/simulation/network.h"

namespace weir::simulation {

// What the protocol is broken by on purpose, to show that the simulation finds it.
struct PlantedBugs {
  bool commit_before_manifest = false;  // sinks commit with their acknowledgement
  // A coordinator that has started again begins the next attempt beside the one that runs, which
  // nobody ends, and whose messages count as the present one's.
  bool unfenced_attempts = false;
  bool barrier_overtakes = false;  // a barrier arrives before rows that were sent before it
};

class SimPeerLinks;

// Finds the links of an executor by its address, while they exist.
using LinksByAddress = std::map<std::string, SimPeerLinks*>;

class SimPeerLinks final : public PeerLinks {
 public:
  struct Options {
    std::string address;
    size_t channel_bytes = 0;  // channels between executors have no more credit than this
    PlantedBugs bugs;
  };
  SimPeerLinks(SimProcess& process, SimNetwork& network, LinksByAddress& all, Options options);
  ~SimPeerLinks() override;

  void Prepare(const BuiltJob& job, const runtime::Deploy& deploy) override;
  std::shared_ptr<Channel> Outgoing(const ChannelKey& key, size_t capacity_bytes,
                                    std::function<void()> wake_sender) override;
  std::shared_ptr<Channel> Incoming(const ChannelKey& key, size_t capacity_bytes,
                                    std::function<void()> wake_receiver) override;
  void Connect(std::function<void(const Status&)> lost) override;
  void Close() override;

 private:
  struct Peer {
    std::shared_ptr<SimConnection> connection;
    int end = 0;       // which one of it is ours
    std::string held;  // a planted bug: rows that a barrier may overtake
    uint32_t held_channel = 0;
  };

  int PeerOf(int stage, int subtask) const {
    return ExecutorOf(places_, job_->graph, stage, subtask);
  }
  ChannelId IdOf(const ChannelKey& key) const;
  void ConnectTo(int peer);
  void OnConnected(int peer, std::shared_ptr<SimConnection> connection, int end);
  void Send(int peer, FrameKind kind, uint32_t channel, std::string payload);
  void SendNow(int peer, FrameKind kind, uint32_t channel, const std::string& payload);
  void OnFrame(int peer, const Frame& frame);
  void Fail(const Status& status);
  void MaybeStart();

  SimProcess& process_;
  SimNetwork& network_;
  LinksByAddress& all_;
  const Options options_;

  const BuiltJob* job_ = nullptr;
  int parallelism_ = 1;
  int own_ = 0;
  std::vector<runtime::ExecutorPlace> places_;
  std::map<int, Peer> peers_;
  std::unique_ptr<RemoteExchange> exchange_;
  std::vector<std::pair<int, Frame>> early_;
  std::function<void(const Status&)> lost_;
  Status failure_;
  bool connected_ = false;  // Connect() was called
  bool started_ = false;
  // What is on the way when this is gone does nothing.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::simulation
