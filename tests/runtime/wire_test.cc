// The wire: frames, connections over loopback, the mesh of peers, and channels between executors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

#include "runtime/exchange/remote_exchange.h"
#include "runtime/net/listener.h"
#include "runtime/net/peer_mesh.h"
#include "tests/support/event_log.h"

namespace weir {
namespace {

using testing::EventLog;
using ::testing::HasSubstr;

std::string SmallStream() {
  return EncodePreamble() + EncodeFrame(FrameKind::kRows, 7, "payload") +
         EncodeFrame(FrameKind::kHeartbeat, 0, "");
}

// Frames and the status at the end of a stream that is fed in pieces.
std::pair<std::vector<std::string>, Status> DecodeAll(std::string_view bytes, size_t piece) {
  FrameDecoder decoder(1 << 20);
  std::vector<std::string> frames;
  while (true) {
    StatusOr<std::optional<Frame>> frame = decoder.Next();
    if (!frame.ok()) return {frames, frame.status()};
    if (*frame) {
      frames.emplace_back((*frame)->bytes());
    } else if (bytes.empty()) {
      return {frames, decoder.AtEnd()};
    } else {
      decoder.Append(bytes.substr(0, piece));
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
  }
}

TEST(FrameTest, AnyCutGivesTheSameFrames) {
  for (size_t piece = 1; piece <= SmallStream().size(); ++piece) {
    auto [frames, status] = DecodeAll(SmallStream(), piece);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(frames, (std::vector<std::string>{"payload", ""}));
  }
}

TEST(FrameTest, EveryTruncationAndEveryFlippedBitIsTold) {
  const std::string good = SmallStream();
  const size_t first = kPreambleBytes + kFrameHeaderBytes + 7;
  for (size_t n = 0; n < good.size(); ++n) {
    const Status status = DecodeAll(std::string_view(good).substr(0, n), 5).second;
    EXPECT_EQ(status.ok(), n == kPreambleBytes || n == first) << n << " " << status;
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[n] = static_cast<char>(bad[n] ^ (1 << bit));
      EXPECT_FALSE(DecodeAll(bad, 5).second.ok()) << n;
    }
  }
}

TEST(FrameTest, OversizeAndStrangersAreRefused) {
  const std::string big(2 << 20, 'x');
  const std::string header = EncodePreamble() + EncodeFrame(FrameKind::kRows, 1, big).substr(0, 24);
  EXPECT_THAT(DecodeAll(header, 100).second.message(), HasSubstr("more than 1048576"));
  EXPECT_THAT(DecodeAll("GET / HTTP/1.1", 100).second.message(), HasSubstr("first bytes"));
  std::string other = EncodePreamble();
  other[4] = 9;
  EXPECT_EQ(DecodeAll(other, 100).second.code(), absl::StatusCode::kFailedPrecondition);
}

Connection::Callbacks Record(EventLog& events) {
  return {[&](Frame frame) { events.Add(std::string(frame.bytes())); },
          [&](const Status& status) { events.Add("closed: " + status.ToString()); }};
}

TEST(ConnectionTest, FramesArriveInOrderAndShutdownSendsThemFirst) {
  NetworkThread network;
  EventLog client_events, server_events;
  std::unique_ptr<Connection> server;
  auto listener = Listener::Listen(network, {"127.0.0.1", 0}, {}, [&](auto accepted) {
    server = std::move(accepted);
    server->Start(Record(server_events));
  });
  ASSERT_TRUE(listener.ok());
  auto client = Connection::Connect(network, (*listener)->address(), {});
  client->Start(Record(client_events));
  for (int i = 0; i < 1000; ++i) client->Send(FrameKind::kControl, 0, std::to_string(i));
  client->Send(FrameKind::kControl, 0, std::string(5 << 20, 'x'));
  client->Shutdown();
  const std::vector<std::string> got = server_events.Await(1002);
  ASSERT_EQ(got.size(), 1002u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(got[i], std::to_string(i));
  EXPECT_EQ(got[1000].size(), 5u << 20);
  EXPECT_THAT(got[1001], HasSubstr("UNAVAILABLE"));
  EXPECT_EQ(client_events.Await(1), (std::vector<std::string>{"closed: OK"}));
}

TEST(ConnectionTest, NobodyThereIsToldWithTheAddress) {
  NetworkThread network;
  Address address;
  {
    auto listener = Listener::Listen(network, {"127.0.0.1", 0}, {}, [](auto) {});
    ASSERT_TRUE(listener.ok());
    address = (*listener)->address();
  }
  EventLog events;
  auto client = Connection::Connect(network, address, {});
  client->Start(Record(events));
  EXPECT_THAT(events.Await(1).at(0), HasSubstr("cannot connect to " + address.ToString()));
}

TEST(ConnectionTest, ASilentPeerAndAQueueThatOverflowsCloseIt) {
  NetworkThread network;
  std::unique_ptr<Connection> silent;  // never started: it neither reads nor writes
  auto listener = Listener::Listen(network, {"127.0.0.1", 0}, {},
                                   [&](auto accepted) { silent = std::move(accepted); });
  ASSERT_TRUE(listener.ok());
  EventLog quiet, full;
  auto first = Connection::Connect(
      network, (*listener)->address(),
      {.heartbeat_interval = Milliseconds(20), .heartbeat_timeout = Milliseconds(60)});
  first->Start(Record(quiet));
  EXPECT_THAT(quiet.Await(1).at(0), HasSubstr("nothing came from it for"));
  auto second =
      Connection::Connect(network, (*listener)->address(), {.send_queue_bytes_max = 1 << 20});
  for (int i = 0; i < 3; ++i) second->Send(FrameKind::kRows, 1, std::string(1 << 19, 'x'));
  EXPECT_LE(second->queued_bytes(), 2u << 20);
  second->Start(Record(full));
  EXPECT_THAT(full.Await(1).at(0), HasSubstr("RESOURCE_EXHAUSTED"));
}

struct Member {
  EventLog events;  // outlives the mesh, which tells it
  std::unique_ptr<PeerMesh> mesh;
};

void Join(NetworkThread& network, Member& member, int index, int count, std::string secret) {
  PeerMesh::Options options{.job_id = "job", .attempt = 3, .index = index, .executors = count};
  options.secret = std::move(secret);
  options.ready_max = Seconds(5);
  auto mesh = PeerMesh::Listen(
      network, options,
      {.on_ready = [&] { member.events.Add("ready"); },
       .on_frame = [&](int p,
                       Frame f) { member.events.Add(std::to_string(p) + std::string(f.bytes())); },
       .on_lost = [&](int p, const Status&) { member.events.Add("lost " + std::to_string(p)); },
       .log = [&](const std::string& line) { member.events.Add(line); }});
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  member.mesh = *std::move(mesh);
}

TEST(PeerMeshTest, AllConnectAndALostPeerIsToldOnce) {
  NetworkThread network;
  Member members[3];
  std::vector<Address> addresses;
  for (int i = 0; i < 3; ++i) {
    Join(network, members[i], i, 3, "secret");
    addresses.push_back(members[i].mesh->address());
  }
  for (Member& member : members) member.mesh->Connect(addresses);
  for (Member& member : members) EXPECT_EQ(member.events.Await(1).at(0), "ready");
  members[0].mesh->Send(2, FrameKind::kRows, 1, "hi");
  EXPECT_EQ(members[2].events.Await(2).at(1), "0hi");
  members[1].mesh.reset();
  EXPECT_EQ(members[0].events.Await(2), (std::vector<std::string>{"ready", "lost 1"}));
  EXPECT_EQ(members[2].events.Await(3).at(2), "lost 1");
}

TEST(PeerMeshTest, AnotherSecretIsRefusedWithALogLine) {
  NetworkThread network;
  Member members[2];
  Join(network, members[0], 0, 2, "secret");
  Join(network, members[1], 1, 2, "guess!");
  members[1].mesh->Connect({members[0].mesh->address(), {}});
  EXPECT_THAT(members[0].events.Await(1).at(0), HasSubstr("its secret is not that of the attempt"));
  EXPECT_EQ(members[1].events.Await(1).at(0), "lost 0");
}

// Two exchanges in one thread; posted work and frames wait in queues until Run().
class RemoteExchangeTest : public ::testing::Test {
 protected:
  RemoteExchange::Options OptionsOf(int self) {
    return {[this, self](int peer, FrameKind kind, uint32_t channel, std::string payload) {
              if (kind == FrameKind::kRows) ++row_frames_;
              work_.push_back([=, this] {
                (peer == 0 ? left_ : right_).OnFrame(self, {kind, channel, CopyToSlab(payload)});
              });
            },
            [this](std::function<void()> work) { work_.push_back(std::move(work)); },
            [this](const Status& status) { failures_.push_back(status); }};
  }
  void Run() {
    while (!work_.empty()) {
      auto work = std::move(work_.front());
      work_.pop_front();
      work();
    }
  }
  void Open(size_t capacity) {
    a_ = left_.AddOutgoing(1, 5, codec_, capacity, [this] { ++sender_wakes_; });
    b_ = right_.AddIncoming(0, 5, codec_, capacity, [] {});
    left_.Start();
    right_.Start();
    Run();
  }
  static BatchPtr Row(int64_t value) {
    auto batch = std::make_unique<Batch<int64_t>>();
    batch->Add(value, value);
    return batch;
  }

  std::deque<std::function<void()>> work_;
  std::vector<Status> failures_;
  int row_frames_ = 0;
  int sender_wakes_ = 0;
  std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<int64_t>();
  std::shared_ptr<Channel> a_, b_;
  RemoteExchange left_{OptionsOf(0)}, right_{OptionsOf(1)};
};

TEST_F(RemoteExchangeTest, ASlowReceiverStopsTheSenderAndNothingIsLostOrOvertaken) {
  constexpr size_t kCapacity = 200;
  constexpr size_t kRowBytes = 40;  // at most, at either end
  Open(kCapacity);
  int64_t sent = 0, taken = 0;
  while (taken < 500) {
    while (sent < 500 && a_->credit() > 0) a_->Send(Row(sent++));
    if (sent == 500) {
      a_->Send(Barrier{9, BarrierKind::kStop, 4});
      ++sent;
    }
    Run();
    EXPECT_LE(b_->queued_bytes(), kCapacity + kRowBytes);
    EXPECT_LE(a_->queued_bytes(), kCapacity + kRowBytes);
    auto item = b_->Receive();
    ASSERT_TRUE(item.has_value());
    EXPECT_EQ(Batch<int64_t>::Of(**std::get_if<BatchPtr>(&*item))[0], taken++);
  }
  Run();
  EXPECT_EQ(std::get<Barrier>(*b_->Receive()), (Barrier{9, BarrierKind::kStop, 4}));
  EXPECT_TRUE(failures_.empty());
}

TEST_F(RemoteExchangeTest, AWindowThatChangesLosesNoCredit) {
  constexpr size_t kCapacity = 64 << 10;
  Open(kCapacity);
  std::mt19937 random(3);
  int64_t sent = 0, taken = 0;
  for (int round = 0; round < 5'000; ++round) {
    while (a_->credit() > 0) a_->Send(Row(sent++));
    Run();
    if (random() % 10 == 0) b_->set_window_bytes(random() % (random() % 2 == 0 ? 200 : kCapacity));
    for (uint32_t n = random() % 100; n > 0; --n) {
      auto item = b_->Receive();
      if (!item) break;
      ASSERT_EQ(Batch<int64_t>::Of(**std::get_if<BatchPtr>(&*item))[0], taken++);
    }
    Run();
    ASSERT_TRUE(b_->queued_bytes() > 0 || a_->credit() > 0) << "in round " << round;
  }
  b_->set_window_bytes(1000);
  for (int i = 0; i < 5'000; ++i) {
    while (a_->credit() > 0) a_->Send(Row(sent++));
    Run();
    ASSERT_TRUE(b_->Receive().has_value());
  }
  EXPECT_LE(b_->queued_bytes(), 1100u);
  EXPECT_LE(a_->queued_bytes(), limits::kWindowBytesMin + 100);
  EXPECT_TRUE(failures_.empty());
}

TEST_F(RemoteExchangeTest, AWatermarkLimitReachesTheSender) {
  Open(1000);
  b_->set_watermark_limit(100);
  Run();
  a_->Send(Watermark{101});
  EXPECT_EQ(a_->credit(), 0u);
  Run();
  EXPECT_EQ(std::get<Watermark>(*b_->Receive()).time, 101);
  b_->set_watermark_limit(200);
  Run();
  EXPECT_GT(a_->credit(), 0u);
  EXPECT_EQ(sender_wakes_, 1);
}

TEST_F(RemoteExchangeTest, AHugeRowPassesWithoutCrumbsOfCredit) {
  Open(1);
  auto batch = std::make_unique<Batch<int64_t>>();
  for (int64_t i = 0; i < 10'000; ++i) batch->Add(i, i);
  a_->Send(std::move(batch));
  a_->Send(Row(1));
  Run();
  EXPECT_EQ(row_frames_, 1);
  ASSERT_TRUE(b_->Receive().has_value());
  Run();
  EXPECT_EQ(row_frames_, 2);
}

TEST_F(RemoteExchangeTest, WhatAPeerMustNotSendFailsTheAttemptOnce) {
  Open(1000);
  const SlabPtr nothing = CopyToSlab("");
  right_.OnFrame(0, {FrameKind::kRows, 77, nothing});
  right_.OnFrame(0, {FrameKind::kRows, 5, nothing});
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_EQ(failures_[0].code(), absl::StatusCode::kDataLoss);
  left_.OnFrame(1, {FrameKind::kRows, 5, nothing});
  EXPECT_THAT(std::string(failures_.at(1).message()), HasSubstr("direction"));
}

}  // namespace
}  // namespace weir
