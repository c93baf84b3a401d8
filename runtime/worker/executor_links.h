// ExecutorLinks: PeerLinks over TCP: a mesh of connections between the executors of an attempt, and
// the channels that lead through it. Of one attempt, in an executor's process.
//
// Frames that come before the channels here are made wait; peers may be faster. They are not more
// than the channels have credit for.
#pragma once

#include <memory>
#include <string>

#include "jobs/built_job.h"
#include "runtime/net/network_thread.h"
#include "runtime/worker/executor.h"

namespace weir {

class ExecutorLinks final : public PeerLinks {
 public:
  struct Options {
    std::string job_id;
    uint32_t attempt = 0;
    int executor = 0;
    int executors = 1;
    std::string secret;
    std::function<void(const std::string& line)> log;  // on the network thread
  };
  // Begins to listen. The network thread outlives it.
  static StatusOr<std::unique_ptr<ExecutorLinks>> Listen(NetworkThread& network, Options options);
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
  explicit ExecutorLinks(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
