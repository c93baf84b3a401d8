#include "cli/rest_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "jobs/parameters.h"
#include "runtime/net/maybe_tls_stream.h"
#include "runtime/rest/rest_json.h"
#include "runtime/security/security_options.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir::cli {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr auto kAwaitable = asio::as_tuple(asio::use_awaitable);

// One request and its answer, on the calling thread.
class Exchange {
 public:
  Exchange(http::request<http::string_body> request, size_t answer_bytes_max, const TlsContext* tls)
      : tls_(tls), answer_bytes_max_(answer_bytes_max), request_(std::move(request)) {
    parser_.body_limit(answer_bytes_max_);
    parser_.skip(request_.method() == http::verb::head);
  }

  Status Run(const Address& address) {
    asio::co_spawn(io_, Connect(address), asio::detached);
    if (!RunFor(limits::kConnectTimeout)) return absl::UnavailableError("nothing answers");
    if (!secured_.ok()) return secured_;
    if (stream_.refused()) return absl::FailedPreconditionError(stream_.Describe(error_));
    if (error_) return absl::UnavailableError(stream_.Describe(error_));
    asio::co_spawn(io_, Talk(), asio::detached);
    const size_t bytes = std::max(request_.body().size(), answer_bytes_max_);
    const Duration transfer = Seconds(static_cast<int64_t>(bytes / limits::kHttpBytesPerSecondMin));
    if (!RunFor(limits::kRestAnswerTimeout + transfer)) {
      return absl::UnavailableError("no answer comes");
    }
    if (error_) return absl::UnavailableError(stream_.Describe(error_));
    return absl::OkStatus();
  }

  http::response<http::string_body>& response() { return parser_.get(); }

 private:
  // Whether what was begun is done.
  bool RunFor(Duration timeout) {
    done_ = false;
    io_.restart();
    io_.run_for(std::chrono::microseconds(timeout));
    return done_;
  }

  asio::awaitable<void> Connect(Address address) {
    tcp::resolver resolver(io_);
    auto [unknown, endpoints] =
        co_await resolver.async_resolve(address.host, std::to_string(address.port), kAwaitable);
    error_ = unknown;
    if (!error_) {
      std::tie(error_, std::ignore) =
          co_await asio::async_connect(stream_.socket(), endpoints, kAwaitable);
    }
    if (!error_ && tls_ != nullptr) {
      secured_ = stream_.SecureConnecting(*tls_, address.host);
      if (secured_.ok()) {
        std::tie(error_) = co_await stream_.tls().async_handshake(TlsStream::client, kAwaitable);
      }
    }
    done_ = true;
  }

  asio::awaitable<void> Talk() {
    // Who refuses an upload answers before it has read all of it: then the answer counts.
    co_await http::async_write(stream_, request_, kAwaitable);
    std::tie(error_, std::ignore) =
        co_await http::async_read(stream_, buffer_, parser_, kAwaitable);
    done_ = true;
  }

  asio::io_context io_{1};
  const TlsContext* const tls_;
  const size_t answer_bytes_max_;
  MaybeTlsStream stream_{tcp::socket(io_)};
  Status secured_;
  boost::beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  ErrorCode error_;
  bool done_ = false;
};

std::optional<absl::StatusCode> CodeNamed(const std::string& name) {
  for (int code = 1; code <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++code) {
    const auto known = static_cast<absl::StatusCode>(code);
    if (absl::StatusCodeToString(known) == name) return known;
  }
  return std::nullopt;
}

}  // namespace

Status RestClient::Get(const std::string& path, google::protobuf::Message& answer) const {
  return Call("GET", path, nullptr, &answer);
}

Status RestClient::Delete(const std::string& path, google::protobuf::Message& answer) const {
  return Call("DELETE", path, nullptr, &answer);
}

Status RestClient::Post(const std::string& path, const google::protobuf::Message& request,
                        google::protobuf::Message& answer) const {
  return Call("POST", path, &request, &answer);
}

Status RestClient::Put(const std::string& path, const google::protobuf::Message& request,
                       google::protobuf::Message& answer) const {
  return Call("PUT", path, &request, &answer);
}

Status RestClient::SendBlob(const std::string& sha256, const std::string& bytes) const {
  const std::string path = "/v1/blobs/" + sha256;
  rest::Blob blob;
  Status there = Get(path, blob);
  if (!absl::IsNotFound(there)) return there;
  if (bytes.size() > limits::kBlobBytesMax) {
    return absl::InvalidArgumentError(fmt::format("{}, and a cluster takes at most {} in one file",
                                                  FormatSize(bytes.size()),
                                                  FormatSize(limits::kBlobBytesMax)));
  }
  WEIR_ASSIGN_OR_RETURN(const Answer answer, Ask("PUT", path, bytes, "application/octet-stream"));
  return answer.status / 100 == 2 ? absl::OkStatus() : ErrorOf(answer, "PUT", path);
}

StatusOr<std::string> RestClient::ReadBlob(const std::string& sha256) const {
  const std::string path = "/v1/blobs/" + sha256 + "/bytes";
  WEIR_ASSIGN_OR_RETURN(Answer answer, Ask("GET", path, "", "", limits::kBlobBytesMax));
  if (answer.status / 100 != 2) return ErrorOf(answer, "GET", path);
  if (Sha256Hex(answer.body) != sha256) {
    return absl::DataLossError(fmt::format("{} sent other bytes than blob {} has",
                                           options_.coordinator.ToString(), sha256));
  }
  return std::move(answer.body);
}

Status RestClient::Call(std::string_view method, const std::string& path,
                        const google::protobuf::Message* request,
                        google::protobuf::Message* answer) const {
  WEIR_ASSIGN_OR_RETURN(const Answer got,
                        Ask(method, path, request ? ToJson(*request) : "", "application/json"));
  if (got.status / 100 != 2) return ErrorOf(got, method, path);
  if (Status parsed = FromJson(got.body, UnknownFields::kIgnore, *answer); !parsed.ok()) {
    return absl::UnavailableError(fmt::format("what answers at {} is no coordinator of Weir: {}",
                                              options_.coordinator.ToString(),
                                              std::string(parsed.message())));
  }
  return absl::OkStatus();
}

StatusOr<RestClient::Answer> RestClient::Ask(std::string_view method, const std::string& path,
                                             std::string body, std::string_view content_type,
                                             size_t answer_bytes_max) const {
  http::request<http::string_body> request;
  request.version(11);
  request.method_string({method.data(), method.size()});
  request.target(path);
  request.set(http::field::host, options_.coordinator.ToString());
  request.set(http::field::user_agent, "weir");
  if (!options_.token.empty()) {
    request.set(http::field::authorization, "Bearer " + options_.token);
  }
  if (!body.empty()) {
    request.set(http::field::content_type, {content_type.data(), content_type.size()});
  }
  request.body() = std::move(body);
  request.keep_alive(false);
  request.prepare_payload();
  if (!options_.token.empty() && options_.tls == nullptr &&
      !IsLoopback(options_.coordinator.host)) {
    return absl::FailedPreconditionError(
        fmt::format("a token goes to {} over TLS alone, since others could read it: add --tls-ca",
                    options_.coordinator.ToString()));
  }
  Exchange exchange(std::move(request), answer_bytes_max, options_.tls.get());
  Status done = exchange.Run(options_.coordinator);
  if (absl::IsFailedPrecondition(done)) {
    return Annotate(done, fmt::format("the coordinator at {} is not believed",
                                      options_.coordinator.ToString()));
  }
  if (!done.ok()) {
    return absl::UnavailableError(fmt::format(
        "no coordinator can be asked at {}: {}; start one with `weir coordinator`, or name another "
        "with --coordinator HOST:PORT or WEIR_COORDINATOR",
        options_.coordinator.ToString(), std::string(done.message())));
  }
  return Answer{static_cast<int>(exchange.response().result_int()),
                std::move(exchange.response().body())};
}

Status RestClient::ErrorOf(const Answer& answer, std::string_view method,
                           const std::string& path) const {
  rest::Error error;
  if (FromJson(answer.body, UnknownFields::kIgnore, error).ok()) {
    if (const auto code = CodeNamed(error.code())) return Status(*code, error.message());
  }
  return absl::UnavailableError(
      fmt::format("what answers at {} is no coordinator of Weir: {} {} got HTTP status {}",
                  options_.coordinator.ToString(), method, path, answer.status));
}

}  // namespace weir::cli
