#include "runtime/net/doorkeeper.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "core/check.h"
#include "runtime/limits.h"
#include "runtime/net/listener.h"
#include "runtime/net/network_impl.h"

namespace weir {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

struct Doorkeeper::Impl : std::enable_shared_from_this<Impl> {
  struct Visitor {
    std::unique_ptr<Connection> connection;
    asio::steady_timer timer;
  };

  Impl(NetworkThread& network, Options given, Greet greet, Log log)
      : network(network),
        options(std::move(given)),
        expected(options.expected),
        greet(std::move(greet)),
        log(std::move(log)),
        refusal_timer(network.impl().io) {}

  Status Open() {
    Connection::Options unknown = options.connection;
    unknown.frame_bytes_max = std::min(unknown.frame_bytes_max, limits::kHelloBytesMax);
    auto opened = Listener::Listen(network, options.listen, unknown,
                                   [self = shared_from_this()](std::unique_ptr<Connection> c) {
                                     self->OnAccept(std::move(c));
                                   });
    WEIR_RETURN_IF_ERROR(opened.status());
    listener = *std::move(opened);
    address = listener->address();
    return absl::OkStatus();
  }

  void OnAccept(std::unique_ptr<Connection> connection) {
    if (visitors.size() >= options.unknown_max + expected.load(std::memory_order_relaxed)) {
      Refuse(visitors.begin()->first,
             absl::ResourceExhaustedError(fmt::format(
                 "it had not said who it is when one more came than the {} that may be unknown",
                 visitors.size())));
    }
    const uint64_t id = next_visitor++;
    auto [it, added] = visitors.try_emplace(
        id, Visitor{std::move(connection), asio::steady_timer(network.impl().io)});
    auto self = shared_from_this();
    auto guest = std::make_shared<std::optional<Connection::Callbacks>>();  // once it was let in
    it->second.connection->Start({
        .on_frame =
            [self, id, guest](Frame frame) {
              if (*guest) return (*guest)->on_frame(std::move(frame));
              self->OnFirstFrame(id, frame, *guest);
            },
        .on_closed =
            [self, id, guest](const Status& status) {
              if (*guest) return (*guest)->on_closed(status);
              self->Refuse(id, status);
            },
    });
    it->second.timer.expires_after(std::chrono::microseconds(options.hello_timeout));
    it->second.timer.async_wait([self, id](ErrorCode error) {
      if (error || self->closed) return;
      self->Refuse(id, absl::DeadlineExceededError(
                           fmt::format("it has not said who it is within {}",
                                       FormatDuration(self->options.hello_timeout))));
    });
  }

  void OnFirstFrame(uint64_t id, const Frame& frame, std::optional<Connection::Callbacks>& guest) {
    const auto visitor = visitors.find(id);
    if (visitor == visitors.end()) return;
    std::unique_ptr<Connection> connection = std::move(visitor->second.connection);
    visitors.erase(visitor);
    const Address from = connection->peer();
    // Whoever is let in may be gone when greet() returns; who is not, sends nothing any more.
    connection->set_frame_bytes_max(options.connection.frame_bytes_max);
    StatusOr<Connection::Callbacks> callbacks = greet(frame, connection);
    if (!callbacks.ok()) return LogRefusal(from, callbacks.status());
    WEIR_CHECK(connection == nullptr && callbacks->on_frame && callbacks->on_closed);
    guest = *std::move(callbacks);
  }

  void Refuse(uint64_t id, const Status& why) {
    const auto visitor = visitors.find(id);
    if (visitor == visitors.end()) return;
    const Address from = visitor->second.connection->peer();
    visitors.erase(visitor);
    LogRefusal(from, why);
  }

  void LogRefusal(const Address& from, const Status& why) {
    if (closed) return;
    if (refusals++ < limits::kRefusalLinesMax) {
      log(fmt::format("refused {}: {}", from.ToString(), std::string(why.message())));
    }
    if (refusals > 1) return;
    refusal_timer.expires_after(std::chrono::microseconds(limits::kRefusalPeriod));
    refusal_timer.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error && !self->closed) self->EndRefusalPeriod();
    });
  }

  void EndRefusalPeriod() {
    if (refusals > limits::kRefusalLinesMax) {
      log(fmt::format("refused {} more connections within {}", refusals - limits::kRefusalLinesMax,
                      FormatDuration(limits::kRefusalPeriod)));
    }
    refusals = 0;
  }

  void Close() {
    EndRefusalPeriod();
    closed = true;
    listener.reset();
    visitors.clear();
    refusal_timer.cancel();
    // One of them may be running.
    asio::post(network.impl().io, [self = shared_from_this()] {
      self->greet = {};
      self->log = {};
    });
  }

  NetworkThread& network;
  const Options options;
  std::atomic<size_t> expected;
  Address address;

  // Of the network thread.
  Greet greet;
  Log log;
  std::unique_ptr<Listener> listener;
  std::map<uint64_t, Visitor> visitors;  // by the order in which they came
  uint64_t next_visitor = 0;
  size_t refusals = 0;  // of the period that runs
  asio::steady_timer refusal_timer;
  bool closed = false;
};

Doorkeeper::Doorkeeper(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Doorkeeper::~Doorkeeper() {
  impl_->network.RunAndWait([this] { impl_->Close(); });
}

StatusOr<std::unique_ptr<Doorkeeper>> Doorkeeper::Listen(NetworkThread& network, Options options,
                                                         Greet greet, Log log) {
  auto impl = std::make_shared<Impl>(network, std::move(options), std::move(greet), std::move(log));
  Status status;
  // On the network thread, so that nobody is accepted before the listener is in its place.
  network.RunAndWait([&] { status = impl->Open(); });
  WEIR_RETURN_IF_ERROR(status);
  return std::unique_ptr<Doorkeeper>(new Doorkeeper(std::move(impl)));
}

const Address& Doorkeeper::address() const { return impl_->address; }

void Doorkeeper::set_expected(size_t members) {
  impl_->expected.store(members, std::memory_order_relaxed);
}

}  // namespace weir
