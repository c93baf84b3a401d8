#include "runtime/net/peer_mesh.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>

#include "core/check.h"
#include "core/codec.h"
#include "runtime/net/listener.h"
#include "runtime/net/network_impl.h"

namespace weir {
namespace {

struct Hello {
  std::string_view job_id;
  uint64_t attempt = 0;
  uint64_t index = 0;
  uint64_t executors = 0;
  std::string_view secret;
};

std::string Encode(const Hello& hello) {
  std::string out;
  PutBytes(hello.job_id, out);
  PutVarint(hello.attempt, out);
  PutVarint(hello.index, out);
  PutVarint(hello.executors, out);
  PutBytes(hello.secret, out);
  return out;
}

bool Decode(std::string_view bytes, Hello& hello) {
  ByteReader in(bytes);
  return in.Bytes(hello.job_id) && in.Varint(hello.attempt) && in.Varint(hello.index) &&
         in.Varint(hello.executors) && in.Bytes(hello.secret) && in.done();
}

}  // namespace

struct PeerMesh::Impl : std::enable_shared_from_this<Impl> {
  // Written on the network thread with the mutex held; so read there without, elsewhere with it.
  struct Peer {
    std::unique_ptr<Connection> connection;
    bool greeted = false;
    bool lost = false;
  };
  struct Stranger {
    std::unique_ptr<Connection> connection;
    boost::asio::steady_timer timer;
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
    return Encode({options.job_id, options.attempt, static_cast<uint64_t>(options.index),
                   static_cast<uint64_t>(options.executors), options.secret});
  }

  // Whose Hello it is.
  StatusOr<int> Check(const Frame& frame) const {
    Hello hello;
    if (frame.kind != FrameKind::kHello || !Decode(frame.bytes(), hello)) {
      return absl::DataLossError("it did not begin with a Hello");
    }
    if (hello.secret.size() != options.secret.size() ||
        CRYPTO_memcmp(hello.secret.data(), options.secret.data(), hello.secret.size()) != 0) {
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
  void OnAccept(std::unique_ptr<Connection> connection) {
    if (strangers.size() >= limits::kUnknownConnectionsMax) {
      callbacks.log(fmt::format("refused {}: {} others have not said who they are",
                                connection->peer().ToString(), strangers.size()));
      return;
    }
    const uint64_t id = next_stranger++;
    auto [it, added] = strangers.try_emplace(
        id, Stranger{std::move(connection), boost::asio::steady_timer(network.impl().io)});
    auto self = shared_from_this();
    // The connection becomes a peer's with its Hello.
    auto peer = std::make_shared<int>(-1);
    it->second.connection->Start({
        .on_frame =
            [self, id, peer](Frame frame) {
              if (*peer >= 0) return self->OnFrame(*peer, std::move(frame));
              *peer = self->OnStrangersHello(id, frame);
            },
        .on_closed =
            [self, id, peer](const Status& status) {
              if (*peer >= 0) return self->Lose(*peer, status);
              self->Refuse(id, status);
            },
    });
    it->second.timer.expires_after(std::chrono::microseconds(options.hello_timeout));
    it->second.timer.async_wait([self, id](boost::system::error_code error) {
      if (error || self->closed) return;
      self->Refuse(id, absl::DeadlineExceededError(
                           fmt::format("it has not said who it is within {}",
                                       FormatDuration(self->options.hello_timeout))));
    });
  }

  int OnStrangersHello(uint64_t id, const Frame& frame) {
    const StatusOr<int> index = Check(frame);
    if (!index.ok()) return Refuse(id, index.status());
    Peer& peer = peers[*index];
    if (*index < options.index || peer.connection != nullptr || peer.lost) {
      return Refuse(id, absl::AbortedError(fmt::format(
                            "it says it is executor {}, which {}", *index,
                            peer.lost                ? "was lost"
                            : *index < options.index ? "does not connect but is connected to"
                                                     : "is connected already")));
    }
    std::unique_ptr<Connection> connection = std::move(strangers.at(id).connection);
    strangers.erase(id);
    connection->Send(FrameKind::kHello, 0, OwnHello());
    {
      std::lock_guard lock(mutex);
      peer.connection = std::move(connection);
    }
    Welcome(*index);
    return *index;
  }

  int Refuse(uint64_t id, const Status& why) {
    const auto it = strangers.find(id);
    if (it == strangers.end()) return -1;
    const std::string from = it->second.connection->peer().ToString();
    strangers.erase(it);
    callbacks.log(fmt::format("refused {}: {}", from, std::string(why.message())));
    return -1;
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
    Welcome(index);
  }

  void Welcome(int index) {
    Peer& peer = peers[index];
    peer.connection->set_frame_bytes_max(options.connection.frame_bytes_max);
    {
      std::lock_guard lock(mutex);
      peer.greeted = true;
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
    callbacks.on_lost(index, Annotate(why, where));
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
    listener.reset();
    strangers.clear();
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
  std::unique_ptr<Listener> listener;
  std::map<uint64_t, Stranger> strangers;
  uint64_t next_stranger = 0;
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
  const Address listen = options.listen;
  auto impl = std::make_shared<Impl>(network, std::move(options), std::move(callbacks));
  Status status;
  // On the network thread, so that nobody is accepted before the listener is in its place.
  network.RunAndWait([&] {
    auto listener =
        Listener::Listen(network, listen, impl->unknown,
                         [impl](std::unique_ptr<Connection> c) { impl->OnAccept(std::move(c)); });
    status = listener.status();
    if (!status.ok()) return;
    impl->listener = *std::move(listener);
    impl->address = impl->listener->address();
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
