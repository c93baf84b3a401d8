#include "runtime/net/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "core/check.h"
#include "runtime/net/network_impl.h"
#include "runtime/net/tls_impl.h"

namespace weir {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

struct Connection::Impl : std::enable_shared_from_this<Impl> {
  struct Outgoing {
    FrameHeader header;
    std::string payload;
    size_t bytes() const { return header.size() + payload.size(); }
  };

  Impl(NetworkThread& network, tcp::socket socket, Address peer, Options options, bool accepted)
      : network(network),
        peer(std::move(peer)),
        options(std::move(options)),
        accepted(accepted),
        socket(std::move(socket)),
        resolver(network.impl().io),
        timer(network.impl().io),
        decoder(this->options.frame_bytes_max) {}

  void Start(Callbacks given) {
    callbacks = std::move(given);
    if (closed) {  // before it was started
      TellClosed();
      return;
    }
    started = true;
    if (accepted) return OnConnected();
    LimitConnecting(fmt::format("cannot connect to {}: no answer", peer.ToString()));
    ErrorCode not_literal;
    const auto address = asio::ip::make_address(peer.host, not_literal);
    if (!not_literal) {
      socket.async_connect({address, peer.port}, [self = shared_from_this()](ErrorCode error) {
        self->OnConnectResult(error);
      });
      return;
    }
    resolver.async_resolve(
        peer.host, std::to_string(peer.port),
        [self = shared_from_this()](ErrorCode error, tcp::resolver::results_type found) {
          if (self->closed) return;
          if (error) return self->OnConnectResult(error);
          asio::async_connect(self->socket, found, [self](ErrorCode error, const tcp::endpoint&) {
            self->OnConnectResult(error);
          });
        });
  }

  void OnConnectResult(ErrorCode error) {
    if (closed) return;
    if (error) {
      return Fail(absl::UnavailableError(
          fmt::format("cannot connect to {}: {}", peer.ToString(), error.message())));
    }
    OnConnected();
  }

  // Until Open(), which starts the timer anew.
  void LimitConnecting(std::string what) {
    timer.expires_after(std::chrono::microseconds(options.connect_timeout));
    timer.async_wait([self = shared_from_this(), what = std::move(what)](ErrorCode error) {
      if (error || self->closed || self->open) return;
      self->Fail(absl::UnavailableError(
          fmt::format("{} within {}", what, FormatDuration(self->options.connect_timeout))));
    });
  }

  void OnConnected() {
    ErrorCode ignored;  // a slower connection is one as well
    socket.set_option(tcp::no_delay(true), ignored);
    if (options.tls == nullptr) return Open();
    tls.emplace(socket, options.tls->impl().context);
    if (accepted) {
      LimitConnecting(fmt::format("lost {}: no TLS handshake", peer.ToString()));
      PrepareAccepting(*tls, options.client_certificate, refusal);
    } else if (Status status = PrepareConnecting(*tls, peer.host, refusal); !status.ok()) {
      return Fail(Annotate(status, "cannot connect to " + peer.ToString()));
    }
    tls->async_handshake(accepted ? TlsStream::server : TlsStream::client,
                         [self = shared_from_this()](ErrorCode error) {
                           if (self->closed) return;
                           if (error) return self->FailHandshake(error);
                           self->Open();
                         });
  }

  void FailHandshake(ErrorCode error) {
    const std::string what =
        fmt::format("no TLS with {}: {}", peer.ToString(), DescribeTlsError(error, refusal));
    Fail(refusal.empty() ? absl::UnavailableError(what) : absl::PermissionDeniedError(what));
  }

  void Open() {
    open = true;
    Tick();
    Read();
    WriteNext();
  }

  void Read() {
    const std::span<char> room = decoder.Room();
    const auto buffer = asio::buffer(room.data(), room.size());
    auto done = [self = shared_from_this()](ErrorCode error, size_t bytes) {
      if (!self->closed) self->OnRead(error, bytes);
    };
    if (tls) {
      tls->async_read_some(buffer, std::move(done));
    } else {
      socket.async_read_some(buffer, std::move(done));
    }
  }

  // The end of a stream says nothing but that: frames are whole by themselves. So TLS's own sign of
  // it is neither sent nor missed.
  static bool IsEnd(ErrorCode error) {
    return error == asio::error::eof || error == asio::ssl::error::stream_truncated;
  }

  Status Lost(ErrorCode error, const Status& rest) const {
    std::string what = fmt::format(
        "lost {}: {}", peer.ToString(),
        IsEnd(error) ? std::string("it closed the connection") : DescribeTlsError(error, refusal));
    if (!rest.ok()) what += fmt::format(" ({})", std::string(rest.message()));
    // Who connects has done its part of the handshake before the other has looked at the
    // certificate.
    if (tls && !accepted && !heard) what += "; if it refused this certificate, its log tells why";
    // Who waits for a TLS handshake closes without a word when something else comes.
    if (!tls && !accepted && !heard) {
      what += "; if it speaks TLS, start this process with --tls-cert, --tls-key and --tls-ca";
    }
    return absl::UnavailableError(what);
  }

  void OnRead(ErrorCode error, size_t bytes) {
    if (IsEnd(error) && shutdown_sent) return Finish(absl::OkStatus());
    if (error) return Fail(Lost(error, decoder.AtEnd()));
    heard = true;
    silent_ticks = 0;
    decoder.Written(bytes);
    while (true) {
      StatusOr<std::optional<Frame>> frame = decoder.Next();
      if (!frame.ok()) {
        return Fail(Annotate(frame.status(), "refused what came from " + peer.ToString()));
      }
      if (!*frame) break;
      if ((*frame)->kind == FrameKind::kHeartbeat) continue;
      callbacks.on_frame(*std::move(*frame));
      if (closed) return;
    }
    Read();
  }

  // Writes what waits, or notes that nothing does.
  void WriteNext() {
    writing.clear();
    writing_bytes = 0;
    bool shut;
    {
      std::lock_guard lock(mutex);
      while (!queue.empty() && writing.size() < limits::kGatheredWriteFrames &&
             writing_bytes < limits::kGatheredWriteBytes) {
        writing_bytes += queue.front().bytes();
        writing.push_back(std::move(queue.front()));
        queue.pop_front();
      }
      shut = shutdown;
      if (writing.empty() && greeted) writer_active = false;
    }
    buffers.clear();
    if (!greeted) buffers.push_back(asio::buffer(preamble));
    greeted = true;
    for (const Outgoing& frame : writing) {
      buffers.push_back(asio::buffer(frame.header));
      if (!frame.payload.empty()) buffers.push_back(asio::buffer(frame.payload));
    }
    if (buffers.empty()) {
      if (shut && !shutdown_sent) {
        shutdown_sent = true;
        ErrorCode ignored;  // the read tells
        socket.shutdown(tcp::socket::shutdown_send, ignored);
      }
      return;
    }
    auto done = [self = shared_from_this()](ErrorCode error, size_t) {
      if (self->closed) return;
      if (error) return self->Fail(self->Lost(error, absl::OkStatus()));
      self->queued.fetch_sub(self->writing_bytes, std::memory_order_relaxed);
      self->sent_since_tick = true;
      self->WriteNext();
    };
    if (tls) {
      asio::async_write(*tls, buffers, std::move(done));
    } else {
      asio::async_write(socket, buffers, std::move(done));
    }
  }

  // Counts intervals and not time: after this process was stopped for a while, the peer's frames
  // are still to be read.
  void Tick() {
    timer.expires_after(std::chrono::microseconds(options.heartbeat_interval));
    timer.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error && !self->closed) self->OnTick();
    });
  }

  void OnTick() {
    ++silent_ticks;
    if (silent_ticks * options.heartbeat_interval > options.heartbeat_timeout) {
      return Fail(absl::UnavailableError(fmt::format("lost {}: nothing came from it for {}",
                                                     peer.ToString(),
                                                     FormatDuration(options.heartbeat_timeout))));
    }
    if (!sent_since_tick) Send(FrameKind::kHeartbeat, 0, "");
    sent_since_tick = false;
    Tick();
  }

  void Send(FrameKind kind, uint32_t channel, std::string bytes) {
    Outgoing frame{EncodeFrameHeader(kind, channel, bytes), std::move(bytes)};
    bool overflow;
    {
      std::lock_guard lock(mutex);
      if (dropping || shutdown) return;
      // One frame always fits.
      const size_t before = queued.fetch_add(frame.bytes(), std::memory_order_relaxed);
      overflow = before > 0 && before + frame.bytes() > options.send_queue_bytes_max;
      dropping = overflow;
      if (!overflow) {
        queue.push_back(std::move(frame));
        if (writer_active) return;
        writer_active = true;
      }
    }
    asio::post(network.impl().io, [self = shared_from_this(), overflow] {
      if (self->closed) return;
      if (!overflow) return self->WriteNext();
      self->Fail(absl::ResourceExhaustedError(
          fmt::format("more than {} waited to be sent to {}, which does not take it",
                      FormatSize(self->options.send_queue_bytes_max), self->peer.ToString())));
    });
  }

  void Fail(Status status) { Finish(std::move(status)); }

  void Finish(Status status) {
    if (closed) return;
    closed = true;
    reason = std::move(status);
    ErrorCode ignored;
    socket.close(ignored);
    resolver.cancel();
    timer.cancel();
    {
      std::lock_guard lock(mutex);
      dropping = true;
      queue.clear();
    }
    queued = 0;
    if (started) TellClosed();
  }

  // Not from within whatever closed it.
  void TellClosed() {
    asio::post(network.impl().io, [self = shared_from_this()] {
      if (!self->abandoned) self->callbacks.on_closed(self->reason);
    });
  }

  void Abandon() {
    abandoned = true;
    Finish(absl::OkStatus());
    // One of them may be running.
    asio::post(network.impl().io, [self = shared_from_this()] { self->callbacks = {}; });
  }

  NetworkThread& network;
  const Address peer;
  const Options options;
  const bool accepted;
  const std::string preamble = EncodePreamble();

  // Of the network thread.
  tcp::socket socket;
  std::optional<TlsStream> tls;
  std::string refusal;  // why the peer's certificate was not believed
  tcp::resolver resolver;
  asio::steady_timer timer;  // of connecting and the handshake, then of heartbeats
  FrameDecoder decoder;
  Callbacks callbacks;
  bool started = false;
  bool open = false;  // connected, and the TLS handshake is done
  bool closed = false;
  bool abandoned = false;
  bool greeted = false;  // the preamble is on its way
  bool shutdown_sent = false;
  bool sent_since_tick = false;
  bool heard = false;  // something came
  int64_t silent_ticks = 0;
  Status reason;
  std::vector<Outgoing> writing;
  size_t writing_bytes = 0;
  std::vector<asio::const_buffer> buffers;

  std::atomic<size_t> queued = 0;
  std::mutex mutex;
  std::deque<Outgoing> queue;  // guarded by mutex, as are those below
  bool writer_active = true;   // WriteNext() will be called; at first by Open()
  bool dropping = false;
  bool shutdown = false;
};

Connection::Connection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Connection::~Connection() {
  impl_->network.RunAndWait([this] { impl_->Abandon(); });
}

std::unique_ptr<Connection> Connection::Connect(NetworkThread& network, Address peer,
                                                Options options) {
  return std::make_unique<Connection>(std::make_shared<Impl>(
      network, tcp::socket(network.impl().io), std::move(peer), std::move(options), false));
}

std::unique_ptr<Connection> MakeAccepted(NetworkThread& network, tcp::socket socket, Address peer,
                                         Connection::Options options) {
  return std::make_unique<Connection>(std::make_shared<Connection::Impl>(
      network, std::move(socket), std::move(peer), std::move(options), true));
}

void Connection::Start(Callbacks callbacks) {
  WEIR_CHECK(callbacks.on_frame && callbacks.on_closed);
  asio::post(impl_->network.impl().io, [impl = impl_, callbacks = std::move(callbacks)]() mutable {
    if (!impl->abandoned) impl->Start(std::move(callbacks));
  });
}

void Connection::Send(FrameKind kind, uint32_t channel, std::string bytes) {
  impl_->Send(kind, channel, std::move(bytes));
}

size_t Connection::queued_bytes() const { return impl_->queued.load(std::memory_order_relaxed); }

void Connection::Close(Status reason) {
  if (impl_->network.OnThread()) return impl_->Finish(std::move(reason));
  impl_->network.Post([impl = impl_, reason = std::move(reason)] { impl->Finish(reason); });
}

void Connection::Shutdown() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->shutdown = true;
    if (impl_->writer_active) return;
    impl_->writer_active = true;
  }
  impl_->network.Post([impl = impl_] {
    if (!impl->closed) impl->WriteNext();
  });
}

void Connection::set_frame_bytes_max(size_t bytes) { impl_->decoder.set_payload_bytes_max(bytes); }

const Address& Connection::peer() const { return impl_->peer; }

}  // namespace weir
