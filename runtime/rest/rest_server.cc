#include "runtime/rest/rest_server.h"

#include <fmt/format.h>

#include <boost/asio/ip/address.hpp>

#include "runtime/rest/openapi.h"
#include "runtime/rest/routes.h"

namespace weir {
namespace {

// Without tokens only this machine can ask, and a browser on it is the one program that does what
// strangers tell it to: a page may send a POST to loopback, or have a name of its own resolve to
// it. Browsers say whence a request comes (Origin) and what name it was sent to (Host).
Status CheckNoStrangersPage(const HttpRequest& head) {
  if (!head.origin.empty() && head.origin != "http://" + head.host) {
    return absl::PermissionDeniedError(
        "a page of another origin sent this, and there are no tokens to tell who may do what");
  }
  std::string_view name = head.host;
  const size_t port = name.rfind(':');
  if (port != name.npos && name.find(']', port) == name.npos) name = name.substr(0, port);
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  boost::system::error_code error;
  boost::asio::ip::make_address(name, error);
  if (error && !name.empty() && name != "localhost") {
    return absl::PermissionDeniedError(
        "without tokens a coordinator is asked by its IP address or as localhost, since any other "
        "name may be one that a stranger's page chose");
  }
  return absl::OkStatus();
}

class Dispatcher {
 public:
  Dispatcher(std::vector<RestRoute> routes, RestServer::Options options)
      : routes_(std::move(routes)), options_(std::move(options)) {}

  HttpServer::Admission Admit(const HttpRequest& head) const {
    RouteTable::Match match = routes_.Find(head.method, head.path);
    // What there is is told only to those who may see something.
    const std::optional<Role> role = match.route != nullptr ? match.route->role : Role::kRead;
    if (Status allowed = Authorize(head, role); !allowed.ok()) {
      return {{},
              0,
              ErrorResponse(allowed),
              fmt::format("not allowed (it takes the role {}): {}", RoleName(*role),
                          std::string(allowed.message()))};
    }
    if (match.route == nullptr) return {{}, 0, std::move(match.refusal)};
    if (!head.query.empty()) {
      return {{},
              0,
              ErrorResponse(absl::InvalidArgumentError(
                  "there is nothing to be told behind a '?'; what a request says is in its path "
                  "and its body"))};
    }
    return {[match = std::move(match)](HttpRequest request, HttpServer::Respond respond) {
              match.route->call(match.arguments, std::move(request.body), std::move(respond));
            },
            match.route->body_bytes_max,
            {}};
  }

 private:
  Status Authorize(const HttpRequest& head, std::optional<Role> role) const {
    if (!role) return absl::OkStatus();
    return options_.authorize ? options_.authorize(head, *role) : CheckNoStrangersPage(head);
  }

  const RouteTable routes_;
  const RestServer::Options options_;
};

StatusOr<std::unique_ptr<HttpServer>> Serve(NetworkThread& network, const Address& address,
                                            std::vector<RestRoute> routes,
                                            RestServer::Options options) {
  HttpServer::Options http;
  http.log = options.log;
  http.tls = options.tls;
  auto dispatcher = std::make_shared<const Dispatcher>(std::move(routes), std::move(options));
  http.admit = [dispatcher](const HttpRequest& head) { return dispatcher->Admit(head); };
  return HttpServer::Start(network, address, std::move(http));
}

}  // namespace

RestServer::RestServer(std::unique_ptr<HttpServer> server) : server_(std::move(server)) {}

RestServer::~RestServer() = default;

StatusOr<std::unique_ptr<RestServer>> RestServer::Start(NetworkThread& network,
                                                        const Address& address, ClusterApi& cluster,
                                                        Options options) {
  std::vector<RestRoute> routes = ProbeRoutes(
      [&cluster] { return cluster.Ready(); },
      [&cluster](ClusterApi::Done<rest::Snapshot> done) { cluster.TakeSnapshot(std::move(done)); });
  for (RestRoute& route : ClusterRoutes(cluster)) routes.push_back(std::move(route));
  auto document = std::make_shared<std::string>();
  for (const char* path : {"/v1/openapi.json", "/openapi.json"}) {
    const bool versioned = path == std::string_view("/v1/openapi.json");
    RestRoute route("GET", path, versioned ? "getDescription" : "getDescriptionToo", Role::kRead,
                    "This document");
    route.call = [document](const RestRoute::Arguments&, const std::string&,
                            HttpServer::Respond respond) {
      respond({200, "application/json", *document, {}});
    };
    routes.push_back(std::move(route));
  }
  *document = OpenApiDocument(routes);
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> server,
                        Serve(network, address, std::move(routes), std::move(options)));
  return std::unique_ptr<RestServer>(new RestServer(std::move(server)));
}

StatusOr<std::unique_ptr<RestServer>> RestServer::StartOnWorker(NetworkThread& network,
                                                                const Address& address,
                                                                WorkerStatus worker,
                                                                Options options) {
  std::vector<RestRoute> routes = ProbeRoutes(
      std::move(worker.ready), [snapshot = std::move(worker.snapshot)](
                                   ClusterApi::Done<rest::Snapshot> done) { done(snapshot()); });
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> server,
                        Serve(network, address, std::move(routes), std::move(options)));
  return std::unique_ptr<RestServer>(new RestServer(std::move(server)));
}

}  // namespace weir
