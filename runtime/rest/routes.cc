#include "runtime/rest/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/check.h"
#include "core/environment.h"
#include "core/limits.h"
#include "runtime/rest/metrics.h"
#include "runtime/rest/rest_json.h"

namespace weir {
namespace {

using Respond = HttpServer::Respond;
using Arguments = RestRoute::Arguments;

// Hands an answer of the cluster on as JSON.
template <class Message>
ClusterApi::Done<Message> AnswerWith(int status, Respond respond) {
  return [status, respond = std::move(respond)](StatusOr<Message> answer) {
    if (!answer.ok()) return respond(ErrorResponse(answer.status()));
    respond({status, "application/json", ToJson(*answer) + "\n", {}});
  };
}

// A route whose answer is a message.
template <class Response>
RestRoute Asks(std::string method, std::string path, std::string name, Role role,
               std::string summary,
               std::function<void(const Arguments&, ClusterApi::Done<Response>)> call) {
  RestRoute route(std::move(method), std::move(path), std::move(name), role, std::move(summary));
  route.response = Response::descriptor();
  route.call = [call = std::move(call)](const Arguments& arguments, const std::string&,
                                        Respond respond) {
    call(arguments, AnswerWith<Response>(200, std::move(respond)));
  };
  return route;
}

// A route that takes a message too.
template <class Request, class Response>
RestRoute Tells(
    std::string method, std::string path, std::string name, Role role, std::string summary,
    int status, std::string example,
    std::function<void(const Arguments&, const Request&, ClusterApi::Done<Response>)> call) {
  RestRoute route(std::move(method), std::move(path), std::move(name), role, std::move(summary));
  route.status = status;
  route.request = Request::descriptor();
  route.response = Response::descriptor();
  route.body_bytes_max = limits::kHttpJsonBytesMax;
  route.example = std::move(example);
  route.call = [status, call = std::move(call)](const Arguments& arguments, const std::string& body,
                                                Respond respond) {
    Request request;
    if (Status parsed = FromJson(body, UnknownFields::kRefuse, request); !parsed.ok()) {
      return respond(ErrorResponse(parsed));
    }
    call(arguments, request, AnswerWith<Response>(status, std::move(respond)));
  };
  return route;
}

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool IsIdByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// As the pattern of PathParameterNamed() says.
bool IsArgument(std::string_view parameter, std::string_view text) {
  if (parameter == "sha256")
    return text.size() == 64 && std::all_of(text.begin(), text.end(), IsLowerHex);
  return !text.empty() && text.size() <= limits::kRestIdBytesMax && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), IsIdByte);
}

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  while (true) {
    const size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == path.npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

std::optional<Arguments> MatchPath(std::string_view wanted, std::string_view path) {
  const std::vector<std::string_view> pattern = Segments(wanted);
  const std::vector<std::string_view> segments = Segments(path);
  if (pattern.size() != segments.size()) return std::nullopt;
  Arguments arguments;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (!pattern[i].starts_with('{')) {
      if (pattern[i] != segments[i]) return std::nullopt;
    } else if (IsArgument(pattern[i].substr(1, pattern[i].size() - 2), segments[i])) {
      arguments.emplace_back(segments[i]);
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

}  // namespace

const PathParameter& PathParameterNamed(std::string_view name) {
  static const std::map<std::string, PathParameter, std::less<>> kParameters = {
      {"job", {"^[a-z0-9_-][a-z0-9._-]{0,127}$", "event_pipeline-0123456789ab"}},
      {"operation", {"^[a-z0-9_-][a-z0-9._-]{0,127}$", "sav-9"}},
      // Of the five bytes "weir\n", the example of a blob.
      {"sha256",
       {"^[0-9a-f]{64}$", "fe8a59c71568075791eb6e0246d1435049128fb2400a8ea86b8ccf8f71c8487f"}},
  };
  const auto found = kParameters.find(name);
  WEIR_CHECK(found != kParameters.end());
  return found->second;
}

std::vector<RestRoute> ProbeRoutes(std::function<Status()> ready,
                                   std::function<void(ClusterApi::Done<rest::Snapshot>)> snapshot) {
  RestRoute health("GET", "/healthz", "getHealth", std::nullopt, "The process lives");
  health.response_type = "text/plain; charset=utf-8";
  health.call = [](const Arguments&, const std::string&, Respond respond) {
    respond({200, "text/plain; charset=utf-8", "ok\n", {}});
  };
  RestRoute readiness("GET", "/readyz", "getReadiness", std::nullopt,
                      "It takes requests; else 503 with the reason");
  readiness.response_type = health.response_type;
  readiness.call = [ready = std::move(ready)](const Arguments&, const std::string&,
                                              Respond respond) {
    if (Status status = ready(); !status.ok()) return respond(ErrorResponse(503, status));
    respond({200, "text/plain; charset=utf-8", "ready\n", {}});
  };
  RestRoute metrics("GET", "/metrics", "getMetrics", Role::kRead, "Metrics for Prometheus");
  metrics.response_type = kMetricsContentType;
  metrics.call = [snapshot = std::move(snapshot)](const Arguments&, const std::string&,
                                                  Respond respond) {
    snapshot([respond = std::move(respond)](StatusOr<rest::Snapshot> taken) {
      if (!taken.ok()) return respond(ErrorResponse(taken.status()));
      const Timestamp now = RealEnvironment().clock.Now();
      respond({200, std::string(kMetricsContentType), WriteMetrics(*taken, now), {}});
    });
  };
  std::vector<RestRoute> routes;
  routes.push_back(std::move(health));
  routes.push_back(std::move(readiness));
  routes.push_back(std::move(metrics));
  return routes;
}

std::vector<RestRoute> ClusterRoutes(ClusterApi& api) {
  using rest::Job, rest::SavepointOperation;
  std::vector<RestRoute> routes;
  routes.push_back(Asks<rest::JobList>(
      "GET", "/v1/jobs", "listJobs", Role::kRead, "All jobs, without their operators",
      [&api](const Arguments&, auto done) { api.ListJobs(std::move(done)); }));
  routes.push_back(Tells<rest::SubmitRequest, rest::Submitted>(
      "POST", "/v1/jobs", "submitJob", Role::kSubmit,
      "Start a job, whose library and resources were sent as blobs before", 200,
      fmt::format(R"({{"library_sha256":"{}","parameters":{{"out":"/tmp/out"}},"parallelism":2}})",
                  PathParameterNamed("sha256").example),
      [&api](const Arguments&, rest::SubmitRequest request, auto done) {
        // A job without checkpoints is one that asked for none.
        if (!request.has_checkpoint_interval_seconds()) {
          request.set_checkpoint_interval_seconds(
              static_cast<double>(limits::kCheckpointIntervalDefault) / 1e6);
        }
        api.SubmitJob(request, std::move(done));
      }));
  routes.push_back(
      Asks<Job>("GET", "/v1/jobs/{job}", "getJob", Role::kRead, "A job and its operators",
                [&api](const Arguments& a, auto done) { api.GetJob(a[0], std::move(done)); }));
  routes.push_back(Asks<Job>(
      "DELETE", "/v1/jobs/{job}", "cancelJob", Role::kOperate, "End a job without a savepoint",
      [&api](const Arguments& a, auto done) { api.CancelJob(a[0], std::move(done)); }));
  routes.push_back(Tells<rest::StopRequest, SavepointOperation>(
      "POST", "/v1/jobs/{job}/stop", "stopJob", Role::kOperate,
      "End a job with a savepoint; the answer's id is to ask for it", 202, R"({"drain":false})",
      [&api](const Arguments& a, const rest::StopRequest& request, auto done) {
        api.StopJob(a[0], request, std::move(done));
      }));
  routes.push_back(Asks<rest::CheckpointList>(
      "GET", "/v1/jobs/{job}/checkpoints", "listCheckpoints", Role::kRead,
      "Its checkpoints and savepoints that can be restored, newest first",
      [&api](const Arguments& a, auto done) { api.ListCheckpoints(a[0], std::move(done)); }));
  routes.push_back(Asks<rest::Submission>(
      "GET", "/v1/jobs/{job}/submission", "getSubmission", Role::kSubmit,
      "How the job was submitted, secrets in its parameters too",
      [&api](const Arguments& a, auto done) { api.GetSubmission(a[0], std::move(done)); }));
  routes.push_back(Tells<rest::LeaseRequest, rest::CheckpointLease>(
      "POST", "/v1/jobs/{job}/leases", "leaseCheckpoint", Role::kSubmit,
      "Keep a checkpoint from being removed for a while; again to keep it longer", 200,
      R"({"holder":"shadow-1","checkpoint":0,"seconds":60})",
      [&api](const Arguments& a, const rest::LeaseRequest& request, auto done) {
        api.LeaseCheckpoint(a[0], request, std::move(done));
      }));
  routes.push_back(Asks<rest::ExceptionList>(
      "GET", "/v1/jobs/{job}/exceptions", "listExceptions", Role::kRead,
      "Why its last attempts ended, newest first",
      [&api](const Arguments& a, auto done) { api.ListExceptions(a[0], std::move(done)); }));
  routes.push_back(Tells<rest::SavepointRequest, SavepointOperation>(
      "POST", "/v1/jobs/{job}/savepoints", "triggerSavepoint", Role::kOperate,
      "Take a savepoint; the answer's id is to ask for it", 202, R"({"to":""})",
      [&api](const Arguments& a, const rest::SavepointRequest& request, auto done) {
        api.TriggerSavepoint(a[0], request, std::move(done));
      }));
  routes.push_back(Asks<SavepointOperation>(
      "GET", "/v1/jobs/{job}/savepoints/{operation}", "getSavepoint", Role::kRead,
      "What became of a savepoint that was asked for",
      [&api](const Arguments& a, auto done) { api.GetSavepoint(a[0], a[1], std::move(done)); }));
  routes.push_back(Tells<rest::RescaleRequest, Job>(
      "PUT", "/v1/jobs/{job}/parallelism", "rescaleJob", Role::kOperate,
      "Go on at another parallelism", 200, R"({"parallelism":4})",
      [&api](const Arguments& a, const rest::RescaleRequest& request, auto done) {
        api.RescaleJob(a[0], request, std::move(done));
      }));
  routes.push_back(Asks<rest::WorkerList>(
      "GET", "/v1/workers", "listWorkers", Role::kRead, "The workers and their slots",
      [&api](const Arguments&, auto done) { api.ListWorkers(std::move(done)); }));

  routes.push_back(Asks<rest::Blob>(
      "GET", "/v1/blobs/{sha256}", "findBlob", Role::kSubmit,
      "Whether these bytes are there (their number, not the bytes)",
      [&api](const Arguments& a, auto done) { api.FindBlob(a[0], std::move(done)); }));
  RestRoute put("PUT", "/v1/blobs/{sha256}", "putBlob", Role::kSubmit,
                "Send a library or a file that a job needs, by the SHA-256 of its bytes");
  put.response = rest::Blob::descriptor();
  put.body_bytes_max = limits::kBlobBytesMax;
  put.example = "weir\n";
  put.call = [&api](const Arguments& a, std::string body, Respond respond) {
    api.PutBlob(a[0], std::move(body), AnswerWith<rest::Blob>(200, std::move(respond)));
  };
  routes.push_back(std::move(put));
  RestRoute read("GET", "/v1/blobs/{sha256}/bytes", "readBlob", Role::kSubmit,
                 "The bytes of a library or a file that a job needs");
  read.response_type = "application/octet-stream";
  read.call = [&api](const Arguments& a, const std::string&, Respond respond) {
    api.ReadBlob(a[0], [respond = std::move(respond)](StatusOr<std::string> bytes) {
      if (!bytes.ok()) return respond(ErrorResponse(bytes.status()));
      respond({200, "application/octet-stream", *std::move(bytes), {}});
    });
  };
  routes.push_back(std::move(read));
  return routes;
}

RouteTable::RouteTable(std::vector<RestRoute> routes) : routes_(std::move(routes)) {}

RouteTable::Match RouteTable::Find(std::string_view method, std::string_view path) const {
  std::set<std::string> methods;
  for (const RestRoute& route : routes_) {
    std::optional<Arguments> arguments = MatchPath(route.path, path);
    if (!arguments) continue;
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      return {&route, *std::move(arguments), {}};
    }
    methods.insert(route.method);
    if (route.method == "GET") methods.insert("HEAD");
  }
  if (methods.empty()) {
    return {nullptr,
            {},
            ErrorResponse(absl::NotFoundError(
                "there is nothing at this path; /v1/openapi.json lists what there is"))};
  }
  const std::string allowed = fmt::format("{}", fmt::join(methods, ", "));
  Match match{
      nullptr, {}, ErrorResponse(405, absl::UnimplementedError("this path takes only " + allowed))};
  match.refusal.headers.emplace_back("Allow", allowed);
  return match;
}

}  // namespace weir
