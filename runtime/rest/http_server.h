// HttpServer: HTTP/1.1 on the process's network thread, for a handful of small routes and for
// uploads: keep-alive, pipelining, Expect: 100-continue, everything bounded in bytes and in time
// (limits.h, "http").
//
// A request is looked at twice: when its head has come (Admit), before a byte of the body is read,
// and when it is there as a whole (the handler). What is not HTTP gets 400 and a line in the log;
// who is slow gets 408; what is too large 413 or 431.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/limits.h"
#include "core/status.h"
#include "runtime/net/address.h"
#include "runtime/net/network_thread.h"
#include "runtime/net/tls.h"

namespace weir {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // as it was sent: nothing is decoded
  std::string query;   // what is behind the '?'
  // Header fields; empty where there is none.
  std::string host;
  std::string origin;
  std::string authorization;
  std::string body;
  Address peer;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// A rest::Error, with the HTTP status that its code becomes (cluster_api.h), or with another one.
HttpResponse ErrorResponse(const Status& error);
HttpResponse ErrorResponse(int http_status, const Status& error);

class HttpServer {
 public:
  // Called once, from any thread, perhaps inside the call that it was handed to. Where the server
  // or the connection is gone nothing happens.
  using Respond = std::function<void(HttpResponse)>;
  using Handler = std::function<void(HttpRequest, Respond)>;

  // What becomes of a request: a handler, or an answer at once, after which the body is not read.
  struct Admission {
    Handler handle;
    size_t body_bytes_max = 0;
    HttpResponse refusal;  // where there is no handler
    std::string log;       // of a refusal that belongs into the log; else empty
  };
  struct Options {
    // On the network thread; so are the handlers. Neither may block.
    std::function<Admission(const HttpRequest& head)> admit;
    // A line about a request that was refused before it came to a handler. On the network thread.
    std::function<void(std::string_view line)> log;
    Duration idle_timeout = limits::kHttpIdleTimeout;
    Duration header_timeout = limits::kHttpHeaderTimeout;
    Duration body_timeout = limits::kHttpBodyTimeout;
    Duration answer_timeout = limits::kHttpAnswerTimeout;
    size_t connections_max = limits::kHttpConnectionsMax;
    // Then it is HTTPS; of clients no certificate is wanted. Null: in the clear.
    std::shared_ptr<const TlsContext> tls;
  };

  // Port 0 is any that is free: address() tells which. The host must be an IP address or
  // "localhost". Unavailable names the address, where it is in use.
  static StatusOr<std::unique_ptr<HttpServer>> Start(NetworkThread& network, const Address& address,
                                                     Options options);
  // On any thread; closes all connections. Afterwards neither admit nor a handler nor log runs. The
  // NetworkThread must outlive the server.
  ~HttpServer();

  const Address& address() const;

  // Of its own files only (http_session.h).
  struct Impl;

 private:
  explicit HttpServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
