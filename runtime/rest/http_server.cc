#include "runtime/rest/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>

#include "runtime/rest/http_session.h"
#include "runtime/rest/rest_json.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 507;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

}  // namespace

HttpResponse ErrorResponse(const Status& error) {
  return ErrorResponse(HttpStatusOf(error.code()), error);
}

HttpResponse ErrorResponse(int http_status, const Status& error) {
  rest::Error message;
  message.set_code(absl::StatusCodeToString(error.code()));
  message.set_message(std::string(error.message()));
  HttpResponse response{http_status, "application/json", ToJson(message), {}};
  if (http_status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (http_status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

void HttpServer::Impl::Accept() {
  acceptor.async_accept([self = shared_from_this()](ErrorCode error, tcp::socket socket) {
    if (self->closed) return;
    if (!error) {
      self->Serve(std::move(socket));
      return self->Accept();
    }
    // No file descriptors left: some will be again.
    self->retry.expires_after(std::chrono::microseconds(limits::kAcceptRetryDelay));
    self->retry.async_wait([self](ErrorCode stopped) {
      if (!stopped && !self->closed) self->Accept();
    });
  });
}

void HttpServer::Impl::Serve(tcp::socket socket) {
  ErrorCode error;
  const tcp::endpoint remote = socket.remote_endpoint(error);
  if (error) return;  // gone already
  const Address peer{remote.address().to_string(), remote.port()};
  if (sessions.size() >= options.connections_max && !MakeRoom()) {
    return LogRefusal(peer, fmt::format("there are {} connections, which is the most that there "
                                        "may be, and none is idle",
                                        sessions.size()));
  }
  socket.set_option(tcp::no_delay(true), error);
  auto session = std::make_shared<HttpSession>(shared_from_this(), std::move(socket), peer);
  asio::co_spawn(network.impl().io, HttpSession::Run(session), asio::detached);
}

bool HttpServer::Impl::MakeRoom() {
  HttpSession* longest = nullptr;
  for (HttpSession* session : sessions) {
    if (!session->idle_since()) continue;
    if (longest == nullptr || *session->idle_since() < *longest->idle_since()) longest = session;
  }
  if (longest == nullptr) return false;
  sessions.erase(longest);
  longest->Close();
  return true;
}

void HttpServer::Impl::LogRefusal(const Address& peer, std::string_view why) {
  if (closed || !options.log) return;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  refusals_.Add(fmt::format("HTTP: refused a request of {}: {}", peer.ToString(), why),
                std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

void HttpServer::Impl::Close() {
  closed = true;
  ErrorCode ignored;
  acceptor.close(ignored);
  retry.cancel();
  for (HttpSession* session : std::exchange(sessions, {})) session->Close();
  options.admit = {};
  options.log = {};
}

HttpServer::HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  impl_->network.RunAndWait([this] { impl_->Close(); });
}

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(NetworkThread& network,
                                                        const Address& address, Options options) {
  auto impl = std::make_shared<Impl>(network, std::move(options));
  WEIR_ASSIGN_OR_RETURN(impl->address, OpenAcceptor(impl->acceptor, address));
  network.Post([impl] {
    if (!impl->closed) impl->Accept();
  });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

const Address& HttpServer::address() const { return impl_->address; }

}  // namespace weir
