// What the two files of the HTTP server share; nobody else includes it, since Beast is heavy.
//
// HttpServer::Impl takes connections, bounds what all of them hold, and knows each HttpSession,
// which serves one connection. All of it lives on the network thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <set>

#include "runtime/net/maybe_tls_stream.h"
#include "runtime/net/network_impl.h"
#include "runtime/net/refusal_log.h"
#include "runtime/rest/http_server.h"

namespace weir {

class HttpSession;

struct HttpServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(NetworkThread& network, Options options)
      : network(network),
        options(std::move(options)),
        acceptor(network.impl().io),
        retry(network.impl().io),
        refusals_([this](std::string_view line) { this->options.log(line); },
                  "HTTP: {} more requests were refused", limits::kHttpLogLinesMax,
                  limits::kHttpLogPeriod) {}

  void Accept();
  void Serve(boost::asio::ip::tcp::socket socket);
  void Close();
  // About a request of this peer that got no further. Of many in a short time most are only
  // counted.
  void LogRefusal(const Address& peer, std::string_view why);

  NetworkThread& network;
  Options options;
  Address address;
  boost::asio::ip::tcp::acceptor acceptor;
  boost::asio::steady_timer retry;
  std::set<HttpSession*> sessions;
  size_t body_bytes = 0;  // of all requests that are under way
  bool closed = false;

 private:
  bool MakeRoom();

  RefusalLog refusals_;
};

// One connection. Kept alive by its coroutine.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(std::shared_ptr<HttpServer::Impl> server, boost::asio::ip::tcp::socket socket,
              Address peer);
  ~HttpSession();

  // Serves requests until the connection ends. `self` is this session.
  static boost::asio::awaitable<void> Run(std::shared_ptr<HttpSession> self);
  void Close();
  // Since when it waits for a request, if it does.
  std::optional<std::chrono::steady_clock::time_point> idle_since() const { return idle_since_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using ErrorCode = boost::system::error_code;
  struct Answer;

  // Each returns whether the connection goes on.
  boost::asio::awaitable<bool> Handshake();
  boost::asio::awaitable<bool> AwaitFirstByte();
  boost::asio::awaitable<bool> ServeRequest();
  boost::asio::awaitable<bool> ReadBody(Parser& parser, uint64_t bytes_max);
  boost::asio::awaitable<bool> Refuse(HttpResponse response, std::string why);
  boost::asio::awaitable<bool> RefuseUnreadable(ErrorCode error);
  boost::asio::awaitable<bool> Write(HttpResponse response, bool keep_alive);

  boost::asio::awaitable<HttpResponse> Ask(HttpServer::Handler handle, HttpRequest request);
  // Reads what the peer still sends, so that it gets to see the answer before the connection ends.
  boost::asio::awaitable<void> Linger();

  // What runs on the socket from now on is cancelled when the time is up; timed_out_ tells.
  void SetDeadline(Duration timeout);
  void ClearDeadline();
  void CancelWhenLate(uint64_t deadline);

  const std::shared_ptr<HttpServer::Impl> server_;
  MaybeTlsStream stream_;
  const Address peer_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer deadline_timer_;
  uint64_t deadline_ = 0;  // which one; 0: none
  uint64_t deadlines_ = 0;
  bool timed_out_ = false;
  boost::asio::steady_timer answered_;
  std::shared_ptr<Answer> asked_;  // the last one
  std::optional<std::chrono::steady_clock::time_point> idle_since_;
  bool served_one_ = false;
  bool head_only_ = false;  // the request is a HEAD
  bool closed_ = false;
};

}  // namespace weir
