// What the socket code needs of a TlsContext; nobody else includes it, since Asio is heavy.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <string>

#include "runtime/net/tls.h"

namespace weir {

struct TlsContext::Impl {
  boost::asio::ssl::context context{boost::asio::ssl::context::tls};
  bool has_certificate = false;
};

using TlsStream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;

// Before the handshake. `refusal`, which must live as long as the stream, is told why a certificate
// was not believed.
Status PrepareConnecting(TlsStream& stream, const std::string& host, std::string& refusal);
void PrepareAccepting(TlsStream& stream, ClientCertificate wanted, std::string& refusal);

// Why a handshake, a read or a write of a stream failed, as the end of "lost HOST:PORT: ".
std::string DescribeTlsError(const boost::system::error_code& error, const std::string& refusal);

}  // namespace weir
