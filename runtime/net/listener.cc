#include "runtime/net/listener.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "runtime/net/network_impl.h"

namespace weir {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

StatusOr<Address> OpenAcceptor(tcp::acceptor& acceptor, const Address& wanted) {
  const std::string host = wanted.host == "localhost" ? "127.0.0.1" : wanted.host;
  ErrorCode error;
  const tcp::endpoint endpoint(asio::ip::make_address(host, error), wanted.port);
  if (error) {
    return absl::InvalidArgumentError(fmt::format("cannot listen on {}: '{}' is not an IP address",
                                                  wanted.ToString(), wanted.host));
  }
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  tcp::endpoint bound;
  if (!error) bound = acceptor.local_endpoint(error);
  if (error) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {}: {}", wanted.ToString(), error.message()));
  }
  return Address{wanted.host, bound.port()};
}

struct Listener::Impl : std::enable_shared_from_this<Impl> {
  Impl(NetworkThread& network, Connection::Options options, OnAccept on_accept)
      : network(network),
        options(options),
        on_accept(std::move(on_accept)),
        acceptor(network.impl().io),
        retry(network.impl().io) {}

  void Accept() {
    acceptor.async_accept([self = shared_from_this()](ErrorCode error, tcp::socket socket) {
      if (self->closed) return;
      if (error) return self->RetryLater();
      const tcp::endpoint peer = socket.remote_endpoint(error);
      // A peer that has gone already is told by its connection's first read.
      Address from{"unknown", 0};
      if (!error) from = {peer.address().to_string(), peer.port()};
      self->on_accept(MakeAccepted(self->network, std::move(socket), from, self->options));
      if (!self->closed) self->Accept();
    });
  }

  void RetryLater() {
    retry.expires_after(std::chrono::microseconds(limits::kAcceptRetryDelay));
    retry.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error && !self->closed) self->Accept();
    });
  }

  void Close() {
    closed = true;
    ErrorCode ignored;
    acceptor.close(ignored);
    retry.cancel();
    asio::post(network.impl().io, [self = shared_from_this()] { self->on_accept = {}; });
  }

  NetworkThread& network;
  const Connection::Options options;
  Address address;
  // Of the network thread.
  OnAccept on_accept;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  bool closed = false;
};

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Listener::~Listener() {
  impl_->network.RunAndWait([this] { impl_->Close(); });
}

StatusOr<std::unique_ptr<Listener>> Listener::Listen(NetworkThread& network, const Address& address,
                                                     Connection::Options options,
                                                     OnAccept on_accept) {
  auto impl = std::make_shared<Impl>(network, options, std::move(on_accept));
  WEIR_ASSIGN_OR_RETURN(impl->address, OpenAcceptor(impl->acceptor, address));
  network.Post([impl] {
    if (!impl->closed) impl->Accept();
  });
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

const Address& Listener::address() const { return impl_->address; }

}  // namespace weir
