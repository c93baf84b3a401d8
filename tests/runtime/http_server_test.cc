// The HTTP server over real sockets: what well-behaved clients may do, and what the others cannot.
#include "runtime/rest/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "tests/support/raw_http.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RawHttp;
using testing::RawResponse;
using testing::Request;

// A server that says back what it was sent, except at a few paths.
class HttpServerTest : public ::testing::Test {
 protected:
  void Start() {
    options_.admit = [this](const HttpRequest& head) { return Admit(head); };
    options_.log = [this](std::string_view line) {
      std::lock_guard lock(mutex_);
      log_.emplace_back(line);
      changed_.notify_all();
    };
    auto server = HttpServer::Start(network_, {"127.0.0.1", 0}, options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  HttpServer::Admission Admit(const HttpRequest& head) {
    if (head.path == "/refused") {
      return {{}, 0, ErrorResponse(absl::UnauthenticatedError("who are you")), "a stranger"};
    }
    return {
        [this](HttpRequest request, HttpServer::Respond respond) {
          if (request.path == "/held") {
            std::lock_guard lock(mutex_);
            held_.push_back(std::move(respond));
            changed_.notify_all();
            return;
          }
          ++handled_;
          respond(
              {200, "text/plain", request.method + " " + request.path + " " + request.body, {}});
        },
        kBodyBytesMax,
        {}};
  }

  std::string AwaitLog() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return !log_.empty(); });
    return log_.empty() ? "" : log_.back();
  }
  HttpServer::Respond AwaitHeld() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return !held_.empty(); });
    HttpServer::Respond respond = held_.empty() ? nullptr : std::move(held_.back());
    held_.clear();
    return respond;
  }
  const Address& address() const { return server_->address(); }
  // The answer to these bytes on a new connection, and nothing but its end behind it.
  RawResponse LastWords(std::string_view bytes, bool end_sending = false) {
    RawHttp http(address());
    http.Send(bytes);
    if (end_sending) http.EndSending();
    RawResponse response = http.Read().value_or(RawResponse());
    EXPECT_TRUE(http.AtEnd()) << bytes;
    return response;
  }

  static constexpr size_t kBodyBytesMax = 1000;
  NetworkThread network_;
  HttpServer::Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> log_;
  std::vector<HttpServer::Respond> held_;
  std::atomic<int> handled_ = 0;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ManyRequestsOnOneConnection) {
  Start();
  RawHttp http(address());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(http.Send(Request("POST", "/x", std::to_string(i))));
    EXPECT_EQ(http.Read().value_or(RawResponse()).body, "POST /x " + std::to_string(i));
  }
}

TEST_F(HttpServerTest, RequestsSentBehindEachOtherAreAnsweredInOrder) {
  Start();
  RawHttp http(address());
  std::string all;
  for (int i = 0; i < 50; ++i) all += Request("PUT", "/" + std::to_string(i), "body");
  ASSERT_TRUE(http.Send(all));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(http.Read().value_or(RawResponse()).body, "PUT /" + std::to_string(i) + " body");
  }
}

TEST_F(HttpServerTest, ARequestInAnyPiecesIsOneRequest) {
  Start();
  const std::string whole = Request("POST", "/pieces", "a body");
  RawHttp http(address());
  for (const char c : whole) ASSERT_TRUE(http.Send({&c, 1}));
  EXPECT_EQ(http.Read().value_or(RawResponse()).body, "POST /pieces a body");
}

TEST_F(HttpServerTest, ChunkedBodiesAndThoseThatWaitForPermission) {
  Start();
  RawHttp http(address());
  http.Send(
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(http.Read().value_or(RawResponse()).body, "POST /c abcde");
  http.Send("PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(http.Read().value_or(RawResponse()).status, 100);
  http.Send("xyz");
  EXPECT_EQ(http.Read().value_or(RawResponse()).body, "PUT /e xyz");
}

TEST_F(HttpServerTest, HeadHasTheLengthAndNoBody) {
  Start();
  RawHttp http(address());
  http.Send(Request("HEAD", "/x") + Request("GET", "/y"));
  const RawResponse head = http.Read(true).value_or(RawResponse());
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("Content-Length: 8\r\n"));
  EXPECT_EQ(http.Read().value_or(RawResponse()).body, "GET /y ");
}

TEST_F(HttpServerTest, OldAndClosingClientsSeeTheConnectionEnd) {
  Start();
  EXPECT_EQ(LastWords("GET /old HTTP/1.0\r\n\r\n").body, "GET /old ");
  EXPECT_EQ(LastWords(Request("GET", "/x", "", "Connection: close\r\n")).body, "GET /x ");
}

TEST_F(HttpServerTest, WhatIsNotHttpGets400AndALogLine) {
  Start();
  const std::string nul("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n", 30);
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00\x01 hello, TLS\r\n\r\n"), std::string("GET\r\n\r\n"),
        std::string("GET / HTTP/3.7\r\n\r\n"), nul,
        std::string("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        std::string("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")}) {
    const RawResponse response = LastWords(bytes);
    EXPECT_EQ(response.status, 400) << bytes;
    EXPECT_THAT(response.body, HasSubstr("INVALID_ARGUMENT")) << bytes;
  }
  EXPECT_THAT(AwaitLog(), HasSubstr("127.0.0.1"));
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, ARequestThatEndsInTheMiddleIsNotHandled) {
  Start();
  EXPECT_EQ(LastWords("POST /half HTTP/1.1\r\nContent-Length: 50\r\n\r\nonly this", true).status,
            400);
  EXPECT_EQ(LastWords("GET /ha", true).status, 400);
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, AClientThatEndsItsSideStillGetsItsAnswer) {
  Start();
  EXPECT_EQ(LastWords(Request("GET", "/x"), true).body, "GET /x ");
}

TEST_F(HttpServerTest, WhatIsTooLargeIsRefusedBeforeItIsRead) {
  Start();
  RawHttp declared(address());
  declared.Send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(declared.Read().value_or(RawResponse()).status, 413);
  RawHttp absurd(address());
  absurd.Send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n");
  EXPECT_EQ(absurd.Read().value_or(RawResponse()).status, 413);
  RawHttp chunked(address());
  chunked.Send("POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n");
  chunked.Send(std::string(1001, 'x') + "\r\n");
  EXPECT_EQ(chunked.Read().value_or(RawResponse()).status, 413);
  EXPECT_EQ(LastWords("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x')).status, 431);
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(testing::Ask(address(), "POST", "/x", std::string(1000, 'x')).status, 200);
}

TEST_F(HttpServerTest, ARefusedUploadIsToldWhyThoughItsBodyIsUnderWay) {
  Start();
  RawHttp http(address());
  http.Send("PUT /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n");
  http.Send(std::string(900, 'x'));
  const RawResponse response = http.Read().value_or(RawResponse());
  EXPECT_EQ(response.status, 401);
  EXPECT_THAT(response.head, HasSubstr("WWW-Authenticate: Bearer"));
  EXPECT_THAT(AwaitLog(), HasSubstr("a stranger"));
  http.EndSending();
  EXPECT_TRUE(http.AtEnd());
}

TEST_F(HttpServerTest, WhoIsSlowDoesNotKeepAConnection) {
  options_.header_timeout = options_.body_timeout = options_.idle_timeout = Milliseconds(50);
  Start();
  RawHttp silent(address());
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_EQ(LastWords("GET / HTTP/1.1\r\nHos").status, 408);
  EXPECT_EQ(LastWords("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc").status, 408);
  RawHttp idle(address());
  idle.Send(Request("GET", "/x"));
  EXPECT_EQ(idle.Read().value_or(RawResponse()).status, 200);
  EXPECT_TRUE(idle.AtEnd());
}

TEST_F(HttpServerTest, AnAnswerMayComeFromAnotherThreadAndOnlyOnce) {
  Start();
  RawHttp http(address());
  http.Send(Request("GET", "/held"));
  HttpServer::Respond respond = AwaitHeld();
  ASSERT_TRUE(respond);
  std::thread([respond] { respond({202, "text/plain", "later", {}}); }).join();
  respond({500, "text/plain", "again", {}});
  const RawResponse response = http.Read().value_or(RawResponse());
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.body, "later");
  http.Send(Request("GET", "/next"));
  EXPECT_EQ(http.Read().value_or(RawResponse()).body, "GET /next ");
}

TEST_F(HttpServerTest, AnAnswerThatDoesNotComeIs503) {
  options_.answer_timeout = Milliseconds(50);
  Start();
  RawHttp http(address());
  http.Send(Request("GET", "/held"));
  const RawResponse response = http.Read().value_or(RawResponse());
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("no answer to GET /held within 50ms"));
  AwaitHeld()({200, "text/plain", "too late", {}});
  http.Send(Request("GET", "/next"));
  EXPECT_EQ(http.Read().value_or(RawResponse()).body, "GET /next ");
}

TEST_F(HttpServerTest, AnswersAfterTheEndAreDropped) {
  Start();
  RawHttp http(address());
  http.Send(Request("GET", "/held"));
  HttpServer::Respond respond = AwaitHeld();
  server_.reset();
  respond({200, "text/plain", "too late", {}});
  EXPECT_TRUE(http.AtEnd());
  respond = {};
}

TEST_F(HttpServerTest, AnIdleConnectionMakesRoomAndABusyOneDoesNot) {
  options_.connections_max = 2;
  Start();
  RawHttp busy(address()), idle(address());
  idle.Send(Request("GET", "/x"));
  EXPECT_EQ(idle.Read().value_or(RawResponse()).status, 200);
  busy.Send(Request("GET", "/held"));
  HttpServer::Respond respond = AwaitHeld();
  RawHttp third(address());
  EXPECT_TRUE(idle.AtEnd());
  third.Send(Request("GET", "/held"));
  HttpServer::Respond respond_third = AwaitHeld();
  RawHttp fourth(address());
  EXPECT_TRUE(fourth.AtEnd());
  EXPECT_THAT(AwaitLog(), HasSubstr("none is idle"));
  respond({200, "text/plain", "first", {}});
  respond_third({200, "text/plain", "third", {}});
  EXPECT_EQ(busy.Read().value_or(RawResponse()).body, "first");
  EXPECT_EQ(third.Read().value_or(RawResponse()).body, "third");
}

TEST_F(HttpServerTest, AnAddressInUseIsNamed) {
  Start();
  const auto second = HttpServer::Start(network_, address(), options_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr(address().ToString()));
}

TEST_F(HttpServerTest, AFloodOfRubbishDoesNotFloodTheLog) {
  Start();
  for (size_t i = 0; i < 3 * limits::kHttpLogLinesMax; ++i) {
    EXPECT_EQ(LastWords("rubbish\r\n\r\n").status, 400);
  }
  std::lock_guard lock(mutex_);
  EXPECT_EQ(log_.size(), limits::kHttpLogLinesMax);
}

}  // namespace
}  // namespace weir
