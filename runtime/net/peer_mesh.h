// PeerMesh: the connections of one attempt's executors to each other, one for each pair.
//
// Each executor listens; of two the one with the higher index connects. The first frame in each
// direction is a Hello: job, attempt, index, number of executors, and a secret that the coordinator
// made for the attempt. Anything else, or a Hello that does not fit, is refused (doorkeeper.h). A
// peer that is lost is told once and never connected again: the attempt has failed.
//
//   PeerMesh::Listen    when the executor starts; address() goes to the coordinator
//   Connect(addresses)  when the coordinator has told the addresses of all
//   on_ready            all peers are connected; with one executor at once
//   on_frame, on_lost   from the moment at which that peer has said Hello, so perhaps before
//                       on_ready: what takes the frames must stand when Connect() is called, here
//                       and at the peers that were given this address
//
// Callbacks run on the network thread. The mesh may be destroyed on any thread, and inside its
// callbacks; afterwards none runs, and frames that were not sent are dropped. The secret is sent in
// the clear where `connection` has no TLS: loopback only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/net/connection.h"

namespace weir {

class PeerMesh {
 public:
  struct Options {
    std::string job_id;
    uint32_t attempt = 0;
    int index = 0;  // of this executor, below `executors`
    int executors = 1;
    std::string secret;
    Address listen{"127.0.0.1", 0};
    Duration hello_timeout = limits::kHelloTimeout;
    Duration ready_max = limits::kMeshReadyMax;  // from Connect(); who is missing then is lost
    Connection::Options connection;
  };
  struct Callbacks {
    std::function<void()> on_ready;
    std::function<void(int peer, Frame frame)> on_frame;          // never a Hello
    std::function<void(int peer, const Status& status)> on_lost;  // names the peer and its address
    std::function<void(const std::string& line)> log;
  };

  static StatusOr<std::unique_ptr<PeerMesh>> Listen(NetworkThread& network, Options options,
                                                    Callbacks callbacks);
  ~PeerMesh();

  const Address& address() const;
  // Addresses of all executors by index; those at and above the own index are not used. Once, from
  // any thread.
  void Connect(std::vector<Address> addresses);

  // From any thread, as Connection::Send. Dropped once the peer is lost.
  // REQUIRES: peer is another executor's index; on_ready has come.
  void Send(int peer, FrameKind kind, uint32_t channel, std::string bytes);

 private:
  struct Impl;
  explicit PeerMesh(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
