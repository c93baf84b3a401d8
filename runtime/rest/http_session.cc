#include "runtime/rest/http_session.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <mutex>

namespace weir {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using std::chrono::microseconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kAwaitable = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16 << 10;
// A deadline that struck while the socket had nothing to cancel strikes again after this.
constexpr auto kCancelAgain = std::chrono::milliseconds(50);

std::string Text(boost::beast::string_view text) { return {text.data(), text.size()}; }

// How long so many bytes may take.
Duration TimeoutFor(Duration base, uint64_t bytes) {
  return base + Seconds(static_cast<int64_t>(bytes / limits::kHttpBytesPerSecondMin));
}

template <class Fields>
HttpRequest HeadOf(const Fields& head, const Address& peer) {
  HttpRequest request;
  request.method = Text(head.method_string());
  request.path = Text(head.target());
  if (const size_t question = request.path.find('?'); question != std::string::npos) {
    request.query = request.path.substr(question + 1);
    request.path.resize(question);
  }
  request.host = Text(head[http::field::host]);
  request.origin = Text(head[http::field::origin]);
  request.authorization = Text(head[http::field::authorization]);
  request.peer = peer;
  return request;
}

}  // namespace

// Where a handler leaves its answer, from whatever thread and however late.
struct HttpSession::Answer {
  std::mutex mutex;
  NetworkThread* network = nullptr;  // that the session waits on; nullptr: nobody waits
  std::weak_ptr<HttpSession> session;
  std::optional<HttpResponse> response;

  void Give(HttpResponse given) {
    std::lock_guard lock(mutex);
    if (network == nullptr || response) return;
    response = std::move(given);
    network->Post([weak = session] {
      if (auto waiting = weak.lock()) waiting->answered_.cancel();
    });
  }
  std::optional<HttpResponse> Take() {
    std::lock_guard lock(mutex);
    if (response) network = nullptr;
    return std::exchange(response, std::nullopt);
  }
  void Abandon() {
    std::lock_guard lock(mutex);
    network = nullptr;
  }
};

HttpSession::HttpSession(std::shared_ptr<HttpServer::Impl> server, asio::ip::tcp::socket socket,
                         Address peer)
    : server_(std::move(server)),
      stream_(std::move(socket)),
      peer_(std::move(peer)),
      deadline_timer_(server_->network.impl().io),
      answered_(server_->network.impl().io) {
  server_->sessions.insert(this);
}

HttpSession::~HttpSession() { server_->sessions.erase(this); }

void HttpSession::Close() {
  closed_ = true;
  ClearDeadline();
  if (asked_) asked_->Abandon();
  answered_.cancel();
  ErrorCode ignored;
  stream_.socket().close(ignored);
}

asio::awaitable<void> HttpSession::Run(std::shared_ptr<HttpSession> self) {
  // One co_await a statement: GCC 12 goes wrong where a condition has two.
  bool goes_on = true;
  if (self->server_->options.tls) goes_on = co_await self->Handshake();
  for (; goes_on; self->served_one_ = true) {
    goes_on = co_await self->AwaitFirstByte();
    if (goes_on) goes_on = co_await self->ServeRequest();
  }
  self->Close();
}

asio::awaitable<bool> HttpSession::Handshake() {
  stream_.SecureAccepting(*server_->options.tls, ClientCertificate::kNotWanted);
  SetDeadline(server_->options.header_timeout);
  const auto [error] = co_await stream_.tls().async_handshake(TlsStream::server, kAwaitable);
  ClearDeadline();
  if (closed_) co_return false;
  if (error) {
    server_->LogRefusal(peer_, timed_out_ ? "no TLS handshake came within the time that it may take"
                                          : stream_.Describe(error));
    co_return false;
  }
  co_return true;
}

asio::awaitable<bool> HttpSession::AwaitFirstByte() {
  if (buffer_.size() > 0) co_return !closed_;  // of a request that was sent right behind the last
  idle_since_ = steady_clock::now();
  SetDeadline(served_one_ ? server_->options.idle_timeout : server_->options.header_timeout);
  auto [error, bytes] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwaitable);
  ClearDeadline();
  idle_since_.reset();
  if (error || closed_) co_return false;
  buffer_.commit(bytes);
  co_return true;
}

asio::awaitable<bool> HttpSession::ServeRequest() {
  Parser parser;
  parser.header_limit(limits::kHttpHeaderBytesMax);
  parser.body_limit(limits::kBlobBytesMax);  // no route takes more; the route's own comes below
  head_only_ = false;
  SetDeadline(server_->options.header_timeout);
  const auto [error, head_bytes] =
      co_await http::async_read_header(stream_, buffer_, parser, kAwaitable);
  ClearDeadline();
  if (closed_) co_return false;
  if (error) co_return co_await RefuseUnreadable(error);

  HttpRequest request = HeadOf(parser.get(), peer_);
  head_only_ = request.method == "HEAD";
  HttpServer::Admission admission = server_->options.admit(request);
  if (!admission.handle) {
    if (!admission.log.empty()) server_->LogRefusal(peer_, admission.log);
    // A body that comes behind it is not read, so nothing else on this connection can be.
    if (!parser.is_done()) co_return co_await Refuse(std::move(admission.refusal), "");
    co_return co_await Write(std::move(admission.refusal), parser.keep_alive());
  }
  const uint64_t body_bytes =
      parser.chunked() ? admission.body_bytes_max : parser.content_length().value_or(0);
  if (body_bytes > admission.body_bytes_max) {
    const std::string why =
        fmt::format("{} {}: a body of {} bytes, and it takes at most {}", request.method,
                    request.path, body_bytes, admission.body_bytes_max);
    co_return co_await Refuse(ErrorResponse(413, absl::ResourceExhaustedError(why)), why);
  }
  if (server_->body_bytes + body_bytes > limits::kHttpBodiesBytes) {
    const std::string why = "other requests' bodies take all memory that there is for them";
    co_return co_await Refuse(ErrorResponse(absl::UnavailableError(why + "; try again")), why);
  }
  struct Reservation {
    size_t& total;
    const size_t bytes;
    ~Reservation() { total -= bytes; }
  };
  server_->body_bytes += body_bytes;
  const Reservation reservation{server_->body_bytes, body_bytes};

  parser.body_limit(admission.body_bytes_max);
  if (!parser.is_done()) {
    const bool read = co_await ReadBody(parser, body_bytes);
    if (!read) co_return false;
  }
  const bool keep_alive = parser.keep_alive();
  request.body = std::move(parser.get().body());
  HttpResponse response = co_await Ask(std::move(admission.handle), std::move(request));
  if (closed_) co_return false;
  co_return co_await Write(std::move(response), keep_alive);
}

asio::awaitable<bool> HttpSession::ReadBody(Parser& parser, uint64_t bytes_max) {
  SetDeadline(TimeoutFor(server_->options.body_timeout, bytes_max));
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    const http::response<http::empty_body> go_on(http::status::continue_, 11);
    const auto [error, sent] = co_await http::async_write(stream_, go_on, kAwaitable);
    if (error) co_return false;
  }
  const auto [error, bytes] = co_await http::async_read(stream_, buffer_, parser, kAwaitable);
  ClearDeadline();
  if (closed_) co_return false;
  if (error) co_return co_await RefuseUnreadable(error);
  co_return true;
}

asio::awaitable<HttpResponse> HttpSession::Ask(HttpServer::Handler handle, HttpRequest request) {
  auto answer = asked_ = std::make_shared<Answer>();
  answer->network = &server_->network;
  answer->session = weak_from_this();
  const std::string what = request.method + " " + request.path;
  handle(std::move(request),
         [answer](HttpResponse response) { answer->Give(std::move(response)); });
  const auto late = steady_clock::now() + microseconds(server_->options.answer_timeout);
  while (true) {
    if (std::optional<HttpResponse> response = answer->Take()) co_return *std::move(response);
    if (closed_ || steady_clock::now() >= late) break;
    answered_.expires_at(late);
    co_await answered_.async_wait(kAwaitable);
  }
  answer->Abandon();
  const std::string why = fmt::format("no answer to {} within {}", what,
                                      FormatDuration(server_->options.answer_timeout));
  server_->LogRefusal(peer_, why);
  co_return ErrorResponse(absl::UnavailableError(why + "; it may still be carried out"));
}

asio::awaitable<bool> HttpSession::RefuseUnreadable(ErrorCode error) {
  if (timed_out_) {
    constexpr const char* kSlow = "the request did not come within the time that it may take";
    co_return co_await Refuse(ErrorResponse(408, absl::DeadlineExceededError(kSlow)), kSlow);
  }
  // The peer has gone.
  if (error.category() != http::make_error_code(http::error::bad_version).category() ||
      error == http::error::end_of_stream) {
    co_return false;
  }
  const std::string why = "this is not HTTP as it is spoken here: " + error.message();
  int status = 400;
  if (error == http::error::body_limit) status = 413;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) status = 431;
  co_return co_await Refuse(ErrorResponse(status, absl::InvalidArgumentError(why)), why);
}

asio::awaitable<bool> HttpSession::Refuse(HttpResponse response, std::string why) {
  if (!why.empty()) server_->LogRefusal(peer_, why);
  co_return co_await Write(std::move(response), false);
}

asio::awaitable<bool> HttpSession::Write(HttpResponse response, bool keep_alive) {
  http::response<http::string_body> message(static_cast<http::status>(response.status), 11);
  message.set(http::field::server, "weir");
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.keep_alive(keep_alive);
  message.body() = std::move(response.body);
  message.prepare_payload();
  SetDeadline(TimeoutFor(server_->options.body_timeout, message.body().size()));
  http::response_serializer<http::string_body> serializer(message);
  ErrorCode error;
  if (head_only_) {
    std::tie(error, std::ignore) =
        co_await http::async_write_header(stream_, serializer, kAwaitable);
  } else {
    std::tie(error, std::ignore) = co_await http::async_write(stream_, serializer, kAwaitable);
  }
  ClearDeadline();
  if (error || closed_) co_return false;
  if (!keep_alive) co_await Linger();
  co_return keep_alive;
}

asio::awaitable<void> HttpSession::Linger() {
  ErrorCode error;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
  SetDeadline(limits::kHttpLingerTimeout);
  while (!error && !timed_out_ && !closed_) {
    buffer_.clear();
    std::tie(error, std::ignore) =
        co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwaitable);
  }
  ClearDeadline();
}

void HttpSession::SetDeadline(Duration timeout) {
  timed_out_ = false;
  deadline_ = ++deadlines_;
  deadline_timer_.expires_after(microseconds(timeout));
  CancelWhenLate(deadline_);
}

void HttpSession::CancelWhenLate(uint64_t deadline) {
  deadline_timer_.async_wait([weak = weak_from_this(), deadline](ErrorCode error) {
    const std::shared_ptr<HttpSession> self = weak.lock();
    if (error || !self || self->deadline_ != deadline) return;
    self->timed_out_ = true;
    ErrorCode ignored;
    self->stream_.socket().cancel(ignored);
    self->deadline_timer_.expires_after(kCancelAgain);
    self->CancelWhenLate(deadline);
  });
}

void HttpSession::ClearDeadline() {
  deadline_ = 0;
  deadline_timer_.cancel();
}

}  // namespace weir
