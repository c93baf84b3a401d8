// ExecutorLinks: PeerLinks over TCP: a mesh of connections between the executors of an attempt, and
// the channels that lead through it. Of one attempt, in an executor's process.
//
// Frames that come before the channels here are made wait; peers may be faster. They are not more
// than the channels have credit for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "jobs/built_job.h"
#include "runtime/net/network_thread.h"
#include "runtime/net/peer_mesh.h"
#include "runtime/worker/executor.h"

namespace weir {

// The executor that runs a subtask of a stage. REQUIRES: one of them does.
int ExecutorOf(const std::vector<runtime::ExecutorPlace>& executors, const JobGraph& graph,
               int stage, int subtask);

class ExecutorLinks final : public PeerLinks {
 public:
  // Begins to listen, as the mesh is told. `log` is called on the network thread, which outlives
  // the links.
  static StatusOr<std::unique_ptr<ExecutorLinks>> Listen(
      NetworkThread& network, PeerMesh::Options mesh,
      std::function<void(const std::string& line)> log);
  ~ExecutorLinks() override;

  // Where the peers reach this executor.
  std::string address() const;

  void Prepare(const BuiltJob& job, const runtime::Deploy& deploy) override;
  std::shared_ptr<Channel> Outgoing(const ChannelKey& key, size_t capacity_bytes,
                                    std::function<void()> wake_sender) override;
  std::shared_ptr<Channel> Incoming(const ChannelKey& key, size_t capacity_bytes,
                                    std::function<void()> wake_receiver) override;
  void Connect(std::function<void(const Status&)> lost) override;
  void Close() override;

 private:
  struct Impl;
  explicit ExecutorLinks(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace weir
