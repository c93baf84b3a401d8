// The routes of the REST interface, in one table: what dispatches requests, who may send them, and
// what the OpenAPI document says, all follow from it.
//
// Nothing of a request becomes a path: what stands for a {parameter} is an id of few characters
// that is looked up, and nothing is decoded.
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rest/http_server.h"
#include "runtime/rest/rest_server.h"
#include "runtime/rest/role.h"

namespace weir {

struct RestRoute {
  // What stood for the parameters of the path, in order.
  using Arguments = std::vector<std::string>;
  using Call =
      std::function<void(const Arguments& arguments, std::string body, HttpServer::Respond)>;

  RestRoute(std::string method, std::string path, std::string name, std::optional<Role> role,
            std::string summary)
      : method(std::move(method)),
        path(std::move(path)),
        name(std::move(name)),
        role(role),
        summary(std::move(summary)) {}

  std::string method;
  std::string path;          // "/v1/jobs/{job}/stop"
  std::string name;          // of the operation, "stopJob"
  std::optional<Role> role;  // that it takes; none: anybody may
  std::string summary;       // a line
  Call call;

  int status = 200;                                        // of success
  const google::protobuf::Descriptor* response = nullptr;  // in JSON; nullptr: text
  std::string response_type = "application/json";
  const google::protobuf::Descriptor* request = nullptr;  // in JSON
  size_t body_bytes_max = 0;                              // 0: it takes no body
  std::string example;                                    // of a body
};

// What a route's parameter, "job", "operation" or "sha256", may look like.
struct PathParameter {
  std::string pattern;  // a regular expression
  std::string example;
};
const PathParameter& PathParameterNamed(std::string_view name);

// /healthz, /readyz and /metrics.
std::vector<RestRoute> ProbeRoutes(std::function<Status()> ready,
                                   std::function<void(ClusterApi::Done<rest::Snapshot>)> snapshot);
// Everything under /v1 but the description of itself.
std::vector<RestRoute> ClusterRoutes(ClusterApi& cluster);

class RouteTable {
 public:
  explicit RouteTable(std::vector<RestRoute> routes);

  struct Match {
    const RestRoute* route = nullptr;
    RestRoute::Arguments arguments;
    HttpResponse refusal;  // where there is no route: 404 or 405
  };
  // HEAD is answered where GET is.
  Match Find(std::string_view method, std::string_view path) const;
  const std::vector<RestRoute>& routes() const { return routes_; }

 private:
  std::vector<RestRoute> routes_;
};

}  // namespace weir
