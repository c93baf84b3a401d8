// Connection: frames to and from one peer over TCP. No logic beyond that: who the peer is and what
// frames mean is decided above.
//
//   auto connection = Connection::Connect(network, {"127.0.0.1", 7070}, {});
//   connection->Start({.on_frame = ..., .on_closed = ...});
//   connection->Send(FrameKind::kControl, 0, std::move(bytes));
//
// Both callbacks run on the network thread. on_closed comes exactly once, as the last one, with the
// reason, unless the connection is destroyed before; it is always an error but after Close() and
// Shutdown(). Errors name the peer's address. What they mean:
//   Unavailable         cannot connect, closed by the peer, nothing came for the heartbeat timeout
//   DataLoss            what came is not what Weir sends; see frame.h
//   FailedPrecondition  the peer speaks another version of the protocol
//   PermissionDenied    the peer's certificate is not believed (tls.h)
//   ResourceExhausted   more than Options::send_queue_bytes_max waited to be sent
//
// A connection that has nothing to say says so with heartbeats, so that a peer, a machine or a link
// that is gone is noticed. It is never made again once it has closed.
//
// Owned by whoever made it or was given it by a Listener. It may be destroyed on any thread, also
// inside one of its own callbacks; afterwards no callback runs (another thread waits for one that
// is running, so it must hold no lock that a callback takes). Frames that were not sent are
// dropped: Shutdown() sends them first. The NetworkThread must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/limits.h"
#include "runtime/net/address.h"
#include "runtime/net/frame.h"
#include "runtime/net/network_thread.h"
#include "runtime/net/tls.h"

namespace weir {

class Connection {
 public:
  struct Options {
    Duration connect_timeout = limits::kConnectTimeout;  // name and TLS included
    Duration heartbeat_interval = limits::kHeartbeatInterval;
    Duration heartbeat_timeout = limits::kHeartbeatTimeout;  // a multiple of the interval
    size_t frame_bytes_max = limits::kFrameBytesMax;         // of payloads that are received
    size_t send_queue_bytes_max = limits::kSendQueueBytesMax;
    std::shared_ptr<const TlsContext> tls;                                // null: in the clear
    ClientCertificate client_certificate = ClientCertificate::kRequired;  // where it is accepted
  };
  struct Callbacks {
    std::function<void(Frame)> on_frame;
    std::function<void(const Status&)> on_closed;
  };

  // Returns at once; what is sent meanwhile waits. Nothing happens before Start().
  static std::unique_ptr<Connection> Connect(NetworkThread& network, Address peer, Options options);
  ~Connection();

  // Once, from any thread.
  void Start(Callbacks callbacks);

  // From any thread; never blocks. Frames of one thread arrive in the order in which they were
  // sent; small ones are written together. Dropped once the connection has closed.
  // REQUIRES: bytes.size() <= limits::kFrameBytesMax.
  void Send(FrameKind kind, uint32_t channel, std::string bytes);
  // Bytes that wait to be handed to the system; any thread.
  size_t queued_bytes() const;

  // From any thread. Closes with `reason`, which on_closed is told; on the network thread no frame
  // comes after it.
  void Close(Status reason = absl::OkStatus());
  // From any thread. Sends what waits, then says that no more comes, and closes when the peer has
  // closed too, with OK. Frames that come meanwhile are still handed out.
  void Shutdown();

  // On the network thread.
  void set_frame_bytes_max(size_t bytes);

  // As connected to, or of the peer that was accepted.
  const Address& peer() const;

  // Of the socket code only (network_impl.h).
  struct Impl;
  explicit Connection(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
