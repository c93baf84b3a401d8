#include "runtime/net/peer_mesh.h"

#include <fmt/format.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>
#include <utility>

#include "core/check.h"
#include "runtime/net/doorkeeper.h"
#include "runtime/net/hello.h"
#include "runtime/net/network_impl.h"
#include "runtime/security/secret.h"

namespace weir {

struct PeerMesh::Impl : std::enable_shared_from_this<Impl> {
  // Written on the network thread with the mutex held; so read there without, elsewhere with it.
  struct Peer {
    std::unique_ptr<Connection> connection;
    bool greeted = false;
    bool lost = false;
  };

  Impl(NetworkThread& network, Options given, Callbacks callbacks)
      : network(network),
        options(std::move(given)),
        callbacks(std::move(callbacks)),
        peers(options.executors),
        ready_timer(network.impl().io) {
    unknown = options.connection;
    unknown.frame_bytes_max = limits::kHelloBytesMax;
  }

  bool IsPeer(int index) const {
    return index >= 0 && index < options.executors && index != options.index;
  }

  std::string OwnHello() const {
    return EncodeHello({options.job_id, options.attempt, static_cast<uint64_t>(options.index),
                        static_cast<uint64_t>(options.executors), options.secret});
  }

  // Whose Hello it is.
  StatusOr<int> Check(const Frame& frame) const {
    PeerHello hello;
    if (frame.kind != FrameKind::kHello || !DecodeHello(frame.bytes(), hello)) {
      return absl::DataLossError("it did not begin with a Hello");
    }
    if (!SameSecret(hello.secret, options.secret)) {
      return absl::PermissionDeniedError("its secret is not that of the attempt");
    }
    if (hello.job_id != options.job_id || hello.attempt != options.attempt) {
      return absl::AbortedError(fmt::format(
          "it belongs to attempt {} of job '{}', this executor to attempt {} of job '{}'",
          hello.attempt, hello.job_id, options.attempt, options.job_id));
    }
    if (hello.executors != peers.size()) {
      return absl::AbortedError(
          fmt::format("it is one of {} executors, not of {}", hello.executors, peers.size()));
    }
    if (hello.index >= peers.size() || !IsPeer(static_cast<int>(hello.index))) {
      return absl::AbortedError(fmt::format("it says it is executor {}", hello.index));
    }
    return static_cast<int>(hello.index);
  }

  // A peer with a higher index, or somebody else.
  StatusOr<Connection::Callbacks> Greet(const Frame& first,
                                        std::unique_ptr<Connection>& connection) {
    WEIR_ASSIGN_OR_RETURN(const int index, Check(first));
    Peer& peer = peers[index];
    if (index < options.index || peer.connection != nullptr || peer.lost) {
      return absl::AbortedError(fmt::format("it says it is executor {}, which {}", index,
                                            peer.lost ? "was lost"
                                            : index < options.index
                                                ? "does not connect but is connected to"
                                                : "is connected already"));
    }
    connection->Send(FrameKind::kHello, 0, OwnHello());
    {
      std::lock_guard lock(mutex);
      peer.connection = std::move(connection);
    }
    auto self = shared_from_this();
    Welcome(index);
    return Connection::Callbacks{
        .on_frame = [self, index](Frame frame) { self->OnFrame(index, std::move(frame)); },
        .on_closed = [self, index](const Status& status) { self->Lose(index, status); },
    };
  }

  void Connect(const std::vector<Address>& addresses) {
    if (closed) return;
    WEIR_CHECK(!connecting && addresses.size() == peers.size());
    connecting = true;
    auto self = shared_from_this();
    for (int index = 0; index < options.index; ++index) {
      auto connection = Connection::Connect(network, addresses[index], unknown);
      connection->Start({
          .on_frame = [self, index](Frame frame) { self->OnAnswer(index, std::move(frame)); },
          .on_closed = [self, index](const Status& status) { self->Lose(index, status); },
      });
      connection->Send(FrameKind::kHello, 0, OwnHello());
      std::lock_guard lock(mutex);
      peers[index].connection = std::move(connection);
    }
    ready_timer.expires_after(std::chrono::microseconds(options.ready_max));
    ready_timer.async_wait([self](boost::system::error_code error) {
      if (!error) self->LoseMissing();
    });
    TellIfReady();
  }

  // Of a peer that this executor connected to.
  void OnAnswer(int index, Frame frame) {
    if (peers[index].greeted) return OnFrame(index, std::move(frame));
    StatusOr<int> said = Check(frame);
    if (said.ok() && *said != index) {
      said = absl::AbortedError(fmt::format("it says it is executor {}", *said));
    }
    if (!said.ok()) return Lose(index, said.status());
    peers[index].connection->set_frame_bytes_max(options.connection.frame_bytes_max);
    Welcome(index);
  }

  void Welcome(int index) {
    {
      std::lock_guard lock(mutex);
      peers[index].greeted = true;
    }
    TellIfReady();
  }

  void TellIfReady() {
    if (!connecting || ready || closed) return;
    for (int index = 0; index < options.executors; ++index) {
      if (IsPeer(index) && (!peers[index].greeted || peers[index].lost)) return;
    }
    ready = true;
    ready_timer.cancel();
    callbacks.on_ready();
  }

  void LoseMissing() {
    if (ready) return;
    for (int index = 0; index < options.executors && !closed; ++index) {
      if (!IsPeer(index) || peers[index].greeted) continue;
      Lose(index, absl::UnavailableError(fmt::format("it has not connected within {}",
                                                     FormatDuration(options.ready_max))));
    }
  }

  void OnFrame(int index, Frame frame) {
    if (closed || peers[index].lost) return;
    if (frame.kind == FrameKind::kHello) {
      return Lose(index, absl::DataLossError("it said Hello twice"));
    }
    callbacks.on_frame(index, std::move(frame));
  }

  void Lose(int index, const Status& why) {
    Peer& peer = peers[index];
    if (closed || peer.lost) return;
    std::unique_ptr<Connection> connection;
    {
      std::lock_guard lock(mutex);
      peer.lost = true;
      connection = std::move(peer.connection);
    }
    std::string where = fmt::format("executor {}", index);
    if (connection != nullptr) where += " at " + connection->peer().ToString();
    connection.reset();
    // A certificate or a secret that is not believed may be another one in the next attempt.
    const bool refused = absl::IsPermissionDenied(why);
    callbacks.on_lost(index,
                      Annotate(refused ? absl::UnavailableError(why.message()) : why, where));
  }

  void Send(int index, FrameKind kind, uint32_t channel, std::string bytes) {
    WEIR_CHECK(IsPeer(index));
    std::lock_guard lock(mutex);
    Peer& peer = peers[index];
    if (peer.lost) return;
    WEIR_CHECK(peer.greeted);
    peer.connection->Send(kind, channel, std::move(bytes));
  }

  void Close() {
    closed = true;
    ready_timer.cancel();
    doorkeeper.reset();
    std::lock_guard lock(mutex);
    for (Peer& peer : peers) {
      peer.lost = true;
      peer.connection.reset();
    }
  }

  NetworkThread& network;
  const Options options;
  Connection::Options unknown;  // of connections before their Hello
  const Callbacks callbacks;
  Address address;

  std::mutex mutex;
  std::vector<Peer> peers;  // by index; the own one is not used

  // Of the network thread.
  std::unique_ptr<Doorkeeper> doorkeeper;
  boost::asio::steady_timer ready_timer;
  bool connecting = false;
  bool ready = false;
  bool closed = false;
};

PeerMesh::PeerMesh(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

PeerMesh::~PeerMesh() {
  impl_->network.RunAndWait([this] { impl_->Close(); });
}

StatusOr<std::unique_ptr<PeerMesh>> PeerMesh::Listen(NetworkThread& network, Options options,
                                                     Callbacks callbacks) {
  WEIR_CHECK(options.index >= 0 && options.index < options.executors);
  WEIR_CHECK(options.secret.size() <= limits::kSecretBytesMax);
  Doorkeeper::Options door;
  door.listen = options.listen;
  door.connection = options.connection;
  door.hello_timeout = options.hello_timeout;
  door.expected = options.executors - 1 - options.index;
  auto impl = std::make_shared<Impl>(network, std::move(options), std::move(callbacks));
  Status status;
  // On the network thread, so that nobody is greeted before the doorkeeper is in its place.
  network.RunAndWait([&] {
    auto doorkeeper = Doorkeeper::Listen(
        network, std::move(door),
        [impl](const Frame& first, std::unique_ptr<Connection>& connection) {
          return impl->Greet(first, connection);
        },
        impl->callbacks.log);
    status = doorkeeper.status();
    if (!status.ok()) return;
    impl->doorkeeper = *std::move(doorkeeper);
    impl->address = impl->doorkeeper->address();
  });
  WEIR_RETURN_IF_ERROR(status);
  return std::unique_ptr<PeerMesh>(new PeerMesh(std::move(impl)));
}

const Address& PeerMesh::address() const { return impl_->address; }

void PeerMesh::Connect(std::vector<Address> addresses) {
  impl_->network.Post(
      [impl = impl_, addresses = std::move(addresses)] { impl->Connect(addresses); });
}

void PeerMesh::Send(int peer, FrameKind kind, uint32_t channel, std::string bytes) {
  impl_->Send(peer, kind, channel, std::move(bytes));
}

}  // namespace weir
