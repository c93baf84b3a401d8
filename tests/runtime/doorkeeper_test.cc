// Who may connect before it has said who it is: bounds in number, time and bytes, at a Doorkeeper
// itself and at what stands behind one.
#include "runtime/net/doorkeeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "runtime/executor_processes.h"
#include "runtime/limits.h"
#include "runtime/net/hello.h"
#include "runtime/net/peer_mesh.h"
#include "testing/temp_dir.h"
#include "tests/support/event_log.h"
#include "tests/support/raw_client.h"
#include "tests/support/test_ca.h"

namespace weir {
namespace {

using testing::EventLog;
using ::testing::HasSubstr;
using testing::RawClient;

// Lets in whose first frame is a Hello that says "friend".
class DoorkeeperTest : public ::testing::Test {
 protected:
  void Open(Doorkeeper::Options options) {
    auto opened = Doorkeeper::Listen(
        network_, std::move(options),
        [this](const Frame& first,
               std::unique_ptr<Connection>& connection) -> StatusOr<Connection::Callbacks> {
          if (first.kind != FrameKind::kHello || first.bytes() != "friend") {
            return absl::PermissionDeniedError("it is no friend");
          }
          friends_.push_back(std::move(connection));
          events_.Add("friend");
          return Connection::Callbacks{
              [this](Frame frame) { events_.Add(std::to_string(frame.bytes().size())); },
              [this](const Status&) { events_.Add("gone"); }};
        },
        [this](const std::string& line) { events_.Add(line); });
    ASSERT_TRUE(opened.ok()) << opened.status();
    door_ = *std::move(opened);
  }
  const Address& address() { return door_->address(); }

  EventLog events_;
  NetworkThread network_;
  std::vector<std::unique_ptr<Connection>> friends_;
  std::unique_ptr<Doorkeeper> door_;
};

TEST_F(DoorkeeperTest, WhoSaysHelloMaySendLargeFramesAtOnce) {
  Open({});
  RawClient client(address());
  client.Send(EncodePreamble() + EncodeFrame(FrameKind::kHello, 0, "friend") +
              EncodeFrame(FrameKind::kRows, 1, std::string(100'000, 'x')));
  client.EndSending();
  EXPECT_EQ(events_.Await(3), (std::vector<std::string>{"friend", "100000", "gone"}));
}

TEST_F(DoorkeeperTest, WhoSaysNothingIsClosedInTime) {
  Open({.hello_timeout = Milliseconds(50)});
  RawClient client(address());
  client.AwaitEnd();
  EXPECT_THAT(events_.Await(1).at(0), HasSubstr("it has not said who it is within 50ms"));
}

TEST_F(DoorkeeperTest, ALargeFrameIsRefusedByItsHeader) {
  Open({});
  RawClient client(address());
  const std::string frame = EncodeFrame(FrameKind::kHello, 0, std::string(5'000, 'x'));
  client.Send(EncodePreamble() + frame.substr(0, kFrameHeaderBytes));
  EXPECT_THAT(events_.Await(1).at(0), HasSubstr("has 5000 bytes, more than 4096"));
  client.AwaitEnd();
}

TEST_F(DoorkeeperTest, ATruncatedFrameAndAnotherProtocolAreRefusedWithTheReason) {
  Open({});
  RawClient cut(address());
  cut.Send(EncodePreamble() + EncodeFrame(FrameKind::kHello, 0, "friend").substr(0, 27));
  cut.EndSending();
  EXPECT_THAT(events_.Await(1).at(0), HasSubstr("the stream ends in the middle of a frame"));
  RawClient web(address());
  web.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(events_.Await(2).at(1), HasSubstr("first bytes are not those of a process of Weir"));
  RawClient other(address());
  other.Send(EncodePreamble() + EncodeFrame(FrameKind::kHello, 0, "foe"));
  EXPECT_THAT(events_.Await(3).at(2), HasSubstr("it is no friend"));
}

TEST_F(DoorkeeperTest, SilentOnesCannotKeepAFriendOut) {
  Open({.unknown_max = 3, .expected = 1});
  std::vector<std::unique_ptr<RawClient>> silent;
  for (int i = 0; i < 9; ++i) silent.push_back(std::make_unique<RawClient>(address()));
  RawClient client(address());
  client.Send(EncodePreamble() + EncodeFrame(FrameKind::kHello, 0, "friend"));
  const std::vector<std::string> events = events_.Await(7);
  EXPECT_THAT(events.at(0), HasSubstr("than the 4 that may be unknown"));
  EXPECT_EQ(events.at(6), "friend");
  silent[0]->AwaitEnd();  // the one that came first
}

TEST_F(DoorkeeperTest, AFloodIsCountedAndNotLoggedLineByLine) {
  Open({});
  for (size_t i = 0; i < limits::kRefusalLinesMax + 7; ++i) {
    RawClient client(address());
    client.Send("GET / HTTP/1.1\r\n\r\n");
    client.AwaitEnd();
  }
  // Their end is seen before it is counted; once a friend who came later is in, all are counted.
  RawClient client(address());
  client.Send(EncodePreamble() + EncodeFrame(FrameKind::kHello, 0, "friend"));
  EXPECT_EQ(events_.Await(limits::kRefusalLinesMax + 1).back(), "friend");
  door_.reset();
  const std::vector<std::string> events = events_.Await(limits::kRefusalLinesMax + 2);
  ASSERT_EQ(events.size(), limits::kRefusalLinesMax + 2);
  EXPECT_EQ(events.back(), "refused 7 more connections within 10s");
}

TEST_F(DoorkeeperTest, ItIsAtHomeAtIpv6) {
  Open({.listen = {"::1", 0}});
  EventLog told;
  auto client = Connection::Connect(network_, address(), {});
  client->Start({.on_frame = [](Frame) {},
                 .on_closed = [&](const Status& why) { told.Add(why.ToString()); }});
  client->Send(FrameKind::kHello, 0, "friend");
  EXPECT_EQ(events_.Await(1).at(0), "friend");
  auto foe = Connection::Connect(network_, address(), {});
  foe->Start({.on_frame = [](Frame) {},
              .on_closed = [&](const Status& why) { told.Add(why.ToString()); }});
  foe->Send(FrameKind::kHello, 0, "foe");
  EXPECT_THAT(events_.Await(2).at(1), HasSubstr("refused [::1]:"));
  EXPECT_THAT(told.Await(1).at(0), HasSubstr("lost " + address().ToString()));
}

// Executor 0 of 2, and who says the Hello of executor 1.
class MeshHelloTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PeerMesh::Options options{"job", 3, 0, 2, "secret"};
    auto mesh = PeerMesh::Listen(network_, options,
                                 {.on_ready = [] {},
                                  .on_frame = [](int, Frame) {},
                                  .on_lost = [](int, const Status&) {},
                                  .log = [this](const std::string& line) { log_.Add(line); }});
    ASSERT_TRUE(mesh.ok()) << mesh.status();
    mesh_ = *std::move(mesh);
  }
  // What is logged about the one who says it.
  std::string SayHello(std::string_view job, uint64_t attempt, uint64_t index, uint64_t executors) {
    RawClient client(mesh_->address());
    client.Send(
        EncodePreamble() +
        EncodeFrame(FrameKind::kHello, 0, EncodeHello({job, attempt, index, executors, "secret"})));
    client.AwaitEnd();
    return log_.Await(++said_).back();
  }

  EventLog log_;
  NetworkThread network_;
  std::unique_ptr<PeerMesh> mesh_;
  size_t said_ = 0;
};

TEST_F(MeshHelloTest, AHelloThatDoesNotFitIsRefusedWithTheReason) {
  EXPECT_THAT(SayHello("job", 2, 1, 2), HasSubstr("belongs to attempt 2 of job 'job'"));
  EXPECT_THAT(SayHello("other", 3, 1, 2), HasSubstr("attempt 3 of job 'other'"));
  EXPECT_THAT(SayHello("job", 3, 1, 3), HasSubstr("one of 3 executors, not of 2"));
  EXPECT_THAT(SayHello("job", 3, 0, 2), HasSubstr("it says it is executor 0"));
  EXPECT_THAT(SayHello("job", 3, 1ull << 40, 2), HasSubstr("it says it is executor 1099511627776"));
}

// A pool whose one executor tells what it was given and then does nothing: the test says Hello in
// its place.
class ExecutorHelloTest : public ::testing::Test {
 protected:
  void Open(ExecutorProcessOptions options) {
    options.folder = folder_.path() + "/work";
    options.program = folder_.path() + "/executor";
    const std::string told = folder_.path() + "/start";
    std::ofstream(options.program) << "#!/bin/sh\ncat <&3 >" << told << ".new\nmv " << told
                                   << ".new " << told << "\nexec sleep 600\n";
    ASSERT_EQ(chmod(options.program.c_str(), 0700), 0);
    auto pool = ExecutorProcesses::Listen(
        loop_, env_, options,
        {.started = [this](uint32_t, const auto& addresses) { log_.Add("at " + addresses.at(0)); },
         .lost = [](uint32_t, int, const JobMaster::Loss&) {},
         .message = [](int, const runtime::ToCoordinator&) {}},
        [this](std::string_view line) { log_.Add(std::string(line)); });
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    pool_->Start(7, 1);
    thread_ = std::thread(
        [this] { loop_.Run([this] { return env_.clock.MonotonicMicros() + Seconds(1); }); });
    while (!std::filesystem::exists(told)) std::this_thread::yield();
    std::ifstream in(told);
    ASSERT_TRUE(start_.ParseFromIstream(&in));
    const StatusOr<Address> address = ParseAddress(start_.coordinator());
    ASSERT_TRUE(address.ok());
    address_ = *address;
  }
  void TearDown() override {
    loop_.Stop();
    if (thread_.joinable()) thread_.join();
    pool_.reset();
  }
  // What is logged then.
  std::string Say(const std::string& hello) {
    clients_.push_back(std::make_unique<RawClient>(address_));
    clients_.back()->Send(EncodePreamble() + EncodeFrame(FrameKind::kControl, 0, hello));
    return log_.Await(clients_.size()).back();
  }
  static std::string Hello(const std::string& secret, uint32_t attempt, uint32_t executor) {
    runtime::ExecutorHello hello;
    hello.set_secret(secret);
    hello.set_attempt(attempt);
    hello.set_executor(executor);
    hello.set_address("here:1");
    return hello.SerializeAsString();
  }

  Environment& env_ = RealEnvironment();
  const testing::TempDir folder_;
  EventLog log_;
  EventLoop loop_{env_.clock};
  std::unique_ptr<ExecutorProcesses> pool_;
  std::thread thread_;
  runtime::ExecutorStart start_;
  Address address_;
  std::vector<std::unique_ptr<RawClient>> clients_;
};

TEST_F(ExecutorHelloTest, OnlyTheAttemptsOwnExecutorIsLetIn) {
  Open({});
  EXPECT_THAT(Say("\xff\xff"), HasSubstr("it did not begin with the Hello of an executor"));
  EXPECT_THAT(Say(Hello("guess", 7, 0)), HasSubstr("its secret is not that of the attempt"));
  EXPECT_THAT(Say(Hello(std::string(start_.secret().size(), '0'), 7, 0)),
              HasSubstr("its secret is not that of the attempt"));
  EXPECT_THAT(Say(Hello(start_.secret(), 6, 0)), HasSubstr("it belongs to attempt 6, not to 7"));
  EXPECT_THAT(Say(Hello(start_.secret(), 7, 1)), HasSubstr("there is no executor 1"));
  EXPECT_EQ(Say(Hello(start_.secret(), 7, 0)), "at here:1");
  EXPECT_THAT(Say(Hello(start_.secret(), 7, 0)), HasSubstr("executor 0 has come already"));
}

TEST_F(ExecutorHelloTest, WithTlsItTakesASecretOnlyFromWhoHasACertificate) {
  testing::TestCa ca(folder_.path(), "ca");
  const TlsFiles own = ca.Issue("own");
  ExecutorProcessOptions options;
  options.start.mutable_tls()->set_cert(own.cert);
  options.start.mutable_tls()->set_key(own.key);
  options.start.mutable_tls()->set_ca(own.ca);
  Open(std::move(options));
  EXPECT_EQ(start_.tls().key(), own.key);
  EXPECT_THAT(Say(Hello(start_.secret(), 7, 0)), HasSubstr("it does not speak TLS"));
  NetworkThread network;
  const auto say = [&](TlsFiles files) {
    auto tls = LoadTls(files);
    EXPECT_TRUE(tls.ok()) << tls.status();
    auto client = Connection::Connect(network, address_, {.tls = *tls});
    client->Start({.on_frame = [](Frame) {}, .on_closed = [](const Status&) {}});
    client->Send(FrameKind::kControl, 0, Hello(start_.secret(), 7, 0));
    return client;
  };
  const auto nobody = say({.ca = own.ca});
  EXPECT_THAT(log_.Await(2).back(), HasSubstr("it presented no certificate"));
  const auto member = say(own);
  EXPECT_EQ(log_.Await(3).back(), "at here:1");
}

}  // namespace
}  // namespace weir
