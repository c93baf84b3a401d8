// MaybeTlsStream: a TCP stream that is TLS or not, as what Asio and Beast read from and write to.
// Included only where sockets are served, since it is heavy.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <optional>
#include <string>
#include <utility>

#include "runtime/net/tls_impl.h"

namespace weir {

class MaybeTlsStream {
 public:
  using executor_type = boost::asio::ip::tcp::socket::executor_type;

  explicit MaybeTlsStream(boost::asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}
  MaybeTlsStream(const MaybeTlsStream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  boost::asio::ip::tcp::socket& socket() { return socket_; }

  // Before anything is read or written, and once: from then on it is TLS. The context must outlive
  // the stream. Then the handshake: tls().async_handshake().
  Status SecureConnecting(const TlsContext& context, const std::string& host) {
    tls_.emplace(socket_, context.impl().context);
    return PrepareConnecting(*tls_, host, refusal_);
  }
  void SecureAccepting(const TlsContext& context, ClientCertificate wanted) {
    tls_.emplace(socket_, context.impl().context);
    PrepareAccepting(*tls_, wanted, refusal_);
  }
  TlsStream& tls() { return *tls_; }
  // The other one's certificate is not believed, whatever became of the handshake.
  bool refused() const { return !refusal_.empty(); }
  std::string Describe(const boost::system::error_code& error) const {
    return DescribeTlsError(error, refusal_);
  }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, size_t)>(
        [this](auto handler, const Buffers& given) {
          if (tls_) {
            tls_->async_read_some(given, std::move(handler));
          } else {
            socket_.async_read_some(given, std::move(handler));
          }
        },
        token, buffers);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, size_t)>(
        [this](auto handler, const Buffers& given) {
          if (tls_) {
            tls_->async_write_some(given, std::move(handler));
          } else {
            socket_.async_write_some(given, std::move(handler));
          }
        },
        token, buffers);
  }

 private:
  boost::asio::ip::tcp::socket socket_;
  std::optional<TlsStream> tls_;
  std::string refusal_;
};

}  // namespace weir
