// TLS between members: who is believed, who is refused and what is said about it, over loopback.
#include "runtime/net/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "runtime/net/doorkeeper.h"
#include "runtime/net/peer_mesh.h"
#include "runtime/net/tls_impl.h"
#include "testing/temp_dir.h"
#include "tests/support/event_log.h"
#include "tests/support/raw_client.h"
#include "tests/support/test_ca.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using testing::EventLog;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;
using testing::TestCa;
using Tls = std::shared_ptr<const TlsContext>;

Tls Load(const TlsFiles& files) {
  StatusOr<Tls> loaded = LoadTls(files);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? *loaded : nullptr;
}

// What LoadTls() refuses to load, as a peer may all the same present it.
Tls LoadUnchecked(const TlsFiles& files) {
  auto impl = std::make_unique<TlsContext::Impl>();
  impl->context.use_certificate_chain_file(files.cert);
  impl->context.use_private_key_file(files.key, boost::asio::ssl::context::pem);
  impl->context.load_verify_file(files.ca);
  return std::make_shared<const TlsContext>(std::move(impl));
}

// A member that listens, and whoever connects to it. Everybody whose first frame comes is let in.
class TlsTest : public ::testing::Test {
 protected:
  void Listen(Doorkeeper::Options options) {
    auto door = Doorkeeper::Listen(
        network_, std::move(options),
        [this](const Frame& first,
               std::unique_ptr<Connection>& connection) -> StatusOr<Connection::Callbacks> {
          door_events_.Add("hello " + std::string(first.bytes()));
          guest_ = std::move(connection);
          guest_->Send(FrameKind::kHello, 0, "welcome");
          return Connection::Callbacks{
              [this](Frame frame) { door_events_.Add(std::to_string(frame.bytes().size())); },
              [this](const Status& why) { door_events_.Add("closed: " + why.ToString()); }};
        },
        [this](const std::string& line) { door_events_.Add(line); });
    ASSERT_TRUE(door.ok()) << door.status();
    door_ = *std::move(door);
  }
  void ListenWith(Tls tls, ClientCertificate wanted = ClientCertificate::kRequired) {
    Listen({.connection = {.tls = std::move(tls), .client_certificate = wanted}});
  }
  Connection& Connect(Tls tls, std::string host = "127.0.0.1") {
    clients_.push_back(Connection::Connect(network_, {std::move(host), door_->address().port},
                                           {.tls = std::move(tls)}));
    clients_.back()->Start({
        .on_frame = [this](Frame frame) { events_.Add(std::string(frame.bytes())); },
        .on_closed = [this](const Status& why) { events_.Add("closed: " + why.ToString()); },
    });
    clients_.back()->Send(FrameKind::kHello, 0, "from me");
    return *clients_.back();
  }
  Tls Issue(const std::string& name, const TestCa::Wish& wish = {}) {
    return LoadUnchecked(ca_.Issue(name, wish));
  }

  testing::TempDir folder_;
  TestCa ca_{folder_.path(), "ca"};
  EventLog door_events_, events_;
  NetworkThread network_;
  std::unique_ptr<Connection> guest_;
  std::unique_ptr<Doorkeeper> door_;
  std::vector<std::unique_ptr<Connection>> clients_;
};

TEST_F(TlsTest, FramesOfAnySizeArriveInOrderAndShutdownSendsThemFirst) {
  ListenWith(Load(ca_.Issue("server")));
  Connection& client = Connect(Load(ca_.Issue("client")));
  for (size_t i = 1; i <= 1000; ++i) client.Send(FrameKind::kRows, 1, std::string(i, 'x'));
  client.Send(FrameKind::kRows, 1, std::string(5 << 20, 'x'));
  client.Shutdown();
  const std::vector<std::string> got = door_events_.Await(1003);
  ASSERT_EQ(got.size(), 1003u);
  EXPECT_EQ(got[0], "hello from me");
  for (size_t i = 1; i <= 1000; ++i) EXPECT_EQ(got[i], std::to_string(i));
  EXPECT_EQ(got[1001], std::to_string(5 << 20));
  EXPECT_THAT(got[1002], HasSubstr("it closed the connection"));
  EXPECT_EQ(events_.Await(2), (std::vector<std::string>{"welcome", "closed: OK"}));
}

TEST_F(TlsTest, TheNameOfACertificateMayBeAHostsOrAnAddress) {
  ListenWith(Issue("server", {.names = {"DNS:localhost"}}));
  Connect(Issue("client"), "localhost");
  EXPECT_EQ(events_.Await(1).at(0), "welcome");
  Connect(Issue("client"), "127.0.0.1");
  EXPECT_THAT(
      events_.AwaitText("closed"),
      HasSubstr("the certificate of 'CN=server' that it presented is for localhost, not for "
                "'127.0.0.1'"));
  // Nor is the common name looked at.
  ListenWith(Issue("localhost", {.names = {"DNS:else.example", "IP:10.0.0.7"}}));
  Connect(Issue("client"), "localhost");
  EXPECT_THAT(events_.AwaitText("else.example"),
              HasSubstr("is for else.example, 10.0.0.7, not for 'localhost'"));
}

TEST_F(TlsTest, AClientThatIsNotBelievedIsRefusedWithTheReason) {
  ListenWith(Issue("server"));
  const auto refused = [&](Tls tls, size_t lines) {
    Connect(std::move(tls));
    return door_events_.Await(lines).back();
  };
  EXPECT_THAT(
      refused(Issue("old", {.ends_s = -60}), 1),
      AllOf(HasSubstr("refused 127.0.0.1:"), HasSubstr("'CN=old'"), HasSubstr("expired on 20")));
  EXPECT_THAT(refused(Issue("early", {.begins_s = 600}), 2), HasSubstr("is not valid before 20"));
  TestCa other(folder_.path(), "other");
  TlsFiles foreign = other.Issue("foreign");
  foreign.ca = ca_.ca_file();
  EXPECT_THAT(refused(LoadUnchecked(foreign), 3),
              AllOf(HasSubstr("'CN=foreign'"), HasSubstr("not signed by the CA")));
  EXPECT_THAT(refused(Load({.ca = ca_.ca_file()}), 4), HasSubstr("it presented no certificate"));
  EXPECT_THAT(refused(Issue("servers", {.usage = "serverAuth"}), 5),
              HasSubstr("is not for clients by its extended key usage"));
  for (const std::string& event : events_.Await(5)) {
    EXPECT_THAT(event, AllOf(HasSubstr("closed: UNAVAILABLE"), HasSubstr("log tells why")));
  }
}

TEST_F(TlsTest, AListenerThatIsNotBelievedIsRefusedWithTheReason) {
  const Tls client = Issue("client");
  const auto refused = [&](Tls tls, size_t events) {
    ListenWith(std::move(tls));
    Connect(client);
    const std::string event = events_.Await(events).back();
    EXPECT_THAT(event, HasSubstr("closed: PERMISSION_DENIED: no TLS with 127.0.0.1:"));
    return event;
  };
  EXPECT_THAT(refused(Issue("old", {.ends_s = -60}), 1), HasSubstr("expired on 20"));
  EXPECT_THAT(refused(Issue("early", {.begins_s = 600}), 2), HasSubstr("is not valid before 20"));
  TestCa other(folder_.path(), "other");
  EXPECT_THAT(refused(LoadUnchecked(other.Issue("foreign")), 3), HasSubstr("not signed by the CA"));
  EXPECT_THAT(refused(Issue("nameless", {.names = {}}), 4),
              HasSubstr("is for nobody (it has no subject alternative name), not for '127.0.0.1'"));
}

TEST_F(TlsTest, WhereNoClientCertificateIsWantedTheListenerStillProvesItself) {
  ListenWith(Issue("server"), ClientCertificate::kNotWanted);
  Connect(Load({.ca = ca_.ca_file()}));
  EXPECT_EQ(events_.Await(1).at(0), "welcome");
  TestCa other(folder_.path(), "other");
  Connect(Load({.ca = other.ca_file()}));
  EXPECT_THAT(events_.AwaitText("closed"), HasSubstr("not signed by the CA"));
}

TEST_F(TlsTest, BothSidesSayWhenOnlyOneOfThemSpeaksTls) {
  ListenWith(Issue("server"));
  Connect(nullptr);
  EXPECT_THAT(door_events_.Await(1).at(0), HasSubstr("it does not speak TLS"));
  EXPECT_THAT(events_.AwaitText("closed"),
              HasSubstr("if it speaks TLS, start this process with --tls-cert"));
  Listen({});
  Connect(Issue("client"));
  EXPECT_THAT(door_events_.AwaitText("it speaks TLS"), HasSubstr("--tls-cert"));
  EXPECT_THAT(events_.AwaitText("no TLS with"), Not(HasSubstr("PERMISSION_DENIED")));
}

TEST_F(TlsTest, AnOlderTlsIsRefused) {
  ListenWith(Load(ca_.Issue("server")));
  Tls old = Issue("client");
  SSL_CTX_set_max_proto_version(old->impl().context.native_handle(), TLS1_2_VERSION);
  Connect(old);
  EXPECT_THAT(door_events_.Await(1).at(0), HasSubstr("it does not speak TLS 1.3"));
}

TEST_F(TlsTest, AHandshakeThatDoesNotGoOnEndsInTime) {
  Listen({.connection = {.tls = Issue("server")}, .hello_timeout = Milliseconds(50)});
  RawClient client(door_->address());
  client.Send("\x16\x03\x01");
  EXPECT_THAT(door_events_.Await(1).at(0), HasSubstr("has not said who it is within 50ms"));
  client.AwaitEnd();
}

TEST_F(TlsTest, OfAMeshOnlyMembersOfTheSameCaAreAdmitted) {
  struct Member {
    EventLog events;  // outlives the mesh, which tells it
    std::unique_ptr<PeerMesh> mesh;
  };
  TestCa other(folder_.path(), "other");
  Member members[3];
  std::vector<Address> addresses;
  for (int i = 0; i < 3; ++i) {
    PeerMesh::Options options{"job", 1, i, 3, "secret"};
    TlsFiles files = (i < 2 ? ca_ : other).Issue("member-" + std::to_string(i));
    files.ca = ca_.ca_file();
    options.connection.tls = LoadUnchecked(files);
    options.ready_max = Seconds(2);
    EventLog& events = members[i].events;
    auto mesh = PeerMesh::Listen(
        network_, options,
        {.on_ready = [&] { events.Add("ready"); },
         .on_frame = [&](int, Frame frame) { events.Add(std::string(frame.bytes())); },
         .on_lost = [&](int peer, const Status&) { events.Add("lost " + std::to_string(peer)); },
         .log = [&](const std::string& line) { events.Add(line); }});
    ASSERT_TRUE(mesh.ok()) << mesh.status();
    members[i].mesh = *std::move(mesh);
    addresses.push_back(members[i].mesh->address());
  }
  for (Member& member : members) member.mesh->Connect(addresses);
  EXPECT_THAT(members[0].events.AwaitText("refused"),
              AllOf(HasSubstr("CN=member-2"), HasSubstr("not signed by the CA")));
  EXPECT_EQ(members[0].events.AwaitText("lost"), "lost 2");
  EXPECT_THAT(members[2].events.Await(2), ::testing::UnorderedElementsAre("lost 0", "lost 1"));
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreNamedWithTheReason) {
  const auto why = [](const TlsFiles& files) { return LoadTls(files).status().ToString(); };
  const TlsFiles good = ca_.Issue("good");
  TlsFiles files = good;
  files.ca = folder_.path() + "/none.pem";
  EXPECT_THAT(why(files), AllOf(HasSubstr("NOT_FOUND"), HasSubstr("none.pem: No such file")));
  files = good;
  files.ca = good.key;
  EXPECT_THAT(why(files), HasSubstr("good.key holds no certificates in PEM"));
  files = good;
  files.cert = good.key;
  EXPECT_THAT(why(files), HasSubstr("good.key is not a certificate in PEM"));
  files = good;
  files.key = good.cert;
  EXPECT_THAT(why(files), HasSubstr("good.pem is not a private key in PEM"));
  files = good;
  files.key = ca_.Issue("another").key;
  EXPECT_THAT(why(files), HasSubstr("another.key is not that of the certificate in"));
  EXPECT_THAT(why({good.cert, "", good.ca}), HasSubstr("a certificate needs its key"));
  EXPECT_THAT(why(ca_.Issue("old", {.ends_s = -60})), HasSubstr("old.pem expired on 20"));
  EXPECT_THAT(why(ca_.Issue("early", {.begins_s = 600})), HasSubstr("is not valid before 20"));
  files = good;
  files.cert = folder_.path();
  EXPECT_THAT(why(files), HasSubstr("Is a directory"));
  ASSERT_EQ(chmod(good.key.c_str(), 0604), 0);
  EXPECT_THAT(why(good),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("chmod 600 " + good.key)));
  ASSERT_EQ(chmod(good.key.c_str(), 0640), 0);
  EXPECT_EQ(why(good), "OK");
}

TEST_F(TlsTest, AKeyWithAPassPhraseIsRefusedAndNobodyIsAsked) {
  const TlsFiles files = ca_.Issue("locked");
  EVP_PKEY* key = EVP_EC_gen("P-256");
  std::FILE* file = std::fopen(files.key.c_str(), "w");
  ASSERT_EQ(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), nullptr, 0, nullptr,
                                 const_cast<char*>("phrase")),
            1);
  std::fclose(file);
  EVP_PKEY_free(key);
  EXPECT_THAT(LoadTls(files).status().ToString(), HasSubstr("locked.key has a pass phrase"));
}

}  // namespace
}  // namespace weir
