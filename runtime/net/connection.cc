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
#include <vector>

#include "core/check.h"
#include "runtime/net/network_impl.h"

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
        options(options),
        accepted(accepted),
        socket(std::move(socket)),
        resolver(network.impl().io),
        timer(network.impl().io),
        decoder(options.frame_bytes_max) {}

  void Start(Callbacks given) {
    callbacks = std::move(given);
    if (closed) {  // before it was started
      TellClosed();
      return;
    }
    started = true;
    if (accepted) return OnConnected();
    timer.expires_after(std::chrono::microseconds(options.connect_timeout));
    timer.async_wait([self = shared_from_this()](ErrorCode error) {
      if (error || self->closed || self->connected) return;
      self->Fail(absl::UnavailableError(
          fmt::format("cannot connect to {}: no answer within {}", self->peer.ToString(),
                      FormatDuration(self->options.connect_timeout))));
    });
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

  void OnConnected() {
    connected = true;
    ErrorCode ignored;  // a slower connection is one as well
    socket.set_option(tcp::no_delay(true), ignored);
    Tick();
    Read();
    WriteNext();
  }

  void Read() {
    const std::span<char> room = decoder.Room();
    socket.async_read_some(asio::buffer(room.data(), room.size()),
                           [self = shared_from_this()](ErrorCode error, size_t bytes) {
                             if (!self->closed) self->OnRead(error, bytes);
                           });
  }

  void OnRead(ErrorCode error, size_t bytes) {
    if (error == asio::error::eof && shutdown_sent) return Finish(absl::OkStatus());
    if (error) {
      const Status at_end = decoder.AtEnd();
      return Fail(absl::UnavailableError(
          fmt::format("lost {}: {}{}", peer.ToString(),
                      error == asio::error::eof ? "it closed the connection" : error.message(),
                      at_end.ok() ? std::string() : " (" + std::string(at_end.message()) + ")")));
    }
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
    asio::async_write(socket, buffers, [self = shared_from_this()](ErrorCode error, size_t) {
      if (self->closed) return;
      if (error) {
        return self->Fail(absl::UnavailableError(
            fmt::format("lost {}: {}", self->peer.ToString(), error.message())));
      }
      self->queued.fetch_sub(self->writing_bytes, std::memory_order_relaxed);
      self->sent_since_tick = true;
      self->WriteNext();
    });
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
  tcp::resolver resolver;
  asio::steady_timer timer;  // of connecting, then of heartbeats
  FrameDecoder decoder;
  Callbacks callbacks;
  bool started = false;
  bool connected = false;
  bool closed = false;
  bool abandoned = false;
  bool greeted = false;  // the preamble is on its way
  bool shutdown_sent = false;
  bool sent_since_tick = false;
  int64_t silent_ticks = 0;
  Status reason;
  std::vector<Outgoing> writing;
  size_t writing_bytes = 0;
  std::vector<asio::const_buffer> buffers;

  std::atomic<size_t> queued = 0;
  std::mutex mutex;
  std::deque<Outgoing> queue;  // guarded by mutex, as are those below
  bool writer_active = true;   // WriteNext() will be called; at first when connected
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
      network, tcp::socket(network.impl().io), std::move(peer), options, false));
}

std::unique_ptr<Connection> MakeAccepted(NetworkThread& network, tcp::socket socket, Address peer,
                                         Connection::Options options) {
  return std::make_unique<Connection>(std::make_shared<Connection::Impl>(
      network, std::move(socket), std::move(peer), options, true));
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
