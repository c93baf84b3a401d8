// RestServer: what a process of a cluster answers over HTTP. A coordinator: the whole interface
// (docs/rest.md) in front of a ClusterApi. A worker: /healthz, /readyz and /metrics.
//
// Made and destroyed on any thread. After its end nothing of what it was given is called; answers
// that a ClusterApi gives later are dropped.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "runtime/rest/cluster_api.h"
#include "runtime/rest/http_server.h"
#include "runtime/rest/role.h"

namespace weir {

class RestServer {
 public:
  struct Options {
    // OK where the sender of this request may do what takes this role; else Unauthenticated (401)
    // or PermissionDenied (403). Asked on the network thread, before the body is read, for every
    // request but /healthz and /readyz. Empty: anybody who reaches the address may do everything,
    // which is for loopback alone; then requests that a web page made a browser send are refused.
    std::function<Status(const HttpRequest& head, Role role)> authorize;
    // A line for the process's log, on the network thread.
    std::function<void(std::string_view line)> log;
    std::shared_ptr<const TlsContext> tls;  // null: in the clear
  };

  // Of a coordinator. Errors as those of HttpServer::Start().
  static StatusOr<std::unique_ptr<RestServer>> Start(NetworkThread& network, const Address& address,
                                                     ClusterApi& cluster, Options options);

  // What a worker tells of itself. Both run on the network thread and must not block.
  struct WorkerStatus {
    std::function<Status()> ready;  // OK, or why it takes no tasks
    // Itself, and its part of the jobs that run on it.
    std::function<rest::Snapshot()> snapshot;
  };
  static StatusOr<std::unique_ptr<RestServer>> StartOnWorker(NetworkThread& network,
                                                             const Address& address,
                                                             WorkerStatus worker, Options options);
  ~RestServer();

  const Address& address() const { return server_->address(); }

 private:
  explicit RestServer(std::unique_ptr<HttpServer> server);
  const std::unique_ptr<HttpServer> server_;
};

}  // namespace weir
