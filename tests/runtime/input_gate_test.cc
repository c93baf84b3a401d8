#include "runtime/exchange/input_gate.h"

#include <gtest/gtest.h>

#include "core/limits.h"

namespace weir {
namespace {

BatchPtr Rows(std::initializer_list<int64_t> values) {
  auto batch = std::make_unique<Batch<int64_t>>();
  for (int64_t v : values) batch->Add(v, v);
  return batch;
}

class InputGateTest : public ::testing::Test {
 protected:
  void Make(int channels, std::optional<Duration> drift_max = {}) {
    std::vector<InputGate::Input> inputs;
    for (int i = 0; i < channels; ++i) {
      channels_.push_back(std::make_shared<Channel>(
          1 << 20, [] {}, [this] { ++wakes_; }));
      inputs.push_back({channels_.back(), 0, i});
    }
    gate_ = std::make_unique<InputGate>(std::move(inputs), drift_max);
  }
  std::string Senders() {
    std::string text;
    for (const auto& channel : channels_) {
      text += (text.empty() ? "" : " ") + std::string(channel->credit() > 0 ? "free" : "stopped");
    }
    return text;
  }
  // What comes next, as text.
  std::string Next() {
    auto event = gate_->Next(now_);
    if (!event.ok()) return "error: " + std::string(event.status().message());
    if (!*event) return "nothing";
    if (auto* rows = std::get_if<InputGate::Rows>(&**event)) {
      return "rows " + std::to_string(rows->batch->rows()) + " from " +
             std::to_string(rows->input_port);
    }
    if (auto* w = std::get_if<Watermark>(&**event)) {
      return "watermark " + std::to_string(w->time) + (w->idle ? " idle" : "");
    }
    if (auto* b = std::get_if<Barrier>(&**event)) return "barrier " + std::to_string(b->checkpoint);
    return "end";
  }

  std::vector<std::shared_ptr<Channel>> channels_;
  std::unique_ptr<InputGate> gate_;
  int wakes_ = 0;  // of senders
  int64_t now_ = Seconds(1000);
};

TEST_F(InputGateTest, ABarrierClosesItsChannelUntilAllHaveIt) {
  Make(2);
  channels_[0]->Send(Barrier{7});
  channels_[0]->Send(Rows({1}));
  channels_[1]->Send(Rows({2, 3}));
  EXPECT_EQ(Next(), "rows 2 from 1");
  EXPECT_EQ(Next(), "nothing");
  channels_[1]->Send(Barrier{7});
  EXPECT_EQ(Next(), "barrier 7");
  EXPECT_EQ(Next(), "rows 1 from 0");
}

TEST_F(InputGateTest, TheWatermarkIsTheLeastOfAll) {
  Make(2);
  channels_[0]->Send(Watermark{10});
  EXPECT_EQ(Next(), "nothing");
  channels_[1]->Send(Watermark{5});
  EXPECT_EQ(Next(), "watermark 5");
  channels_[1]->Send(Watermark{20});
  EXPECT_EQ(Next(), "watermark 10");
}

TEST_F(InputGateTest, AnIdleChannelDoesNotHoldBack) {
  Make(2);
  channels_[0]->Send(Watermark{10});
  channels_[1]->Send(Watermark{kMinTimestamp, true});
  EXPECT_EQ(Next(), "watermark 10");
  // Back to work: the watermark stays where it was until this channel has passed it.
  channels_[1]->Send(Watermark{4, false});
  EXPECT_EQ(Next(), "nothing");
  channels_[0]->Send(Watermark{30});
  EXPECT_EQ(Next(), "nothing");
  channels_[1]->Send(Watermark{12, false});
  EXPECT_EQ(Next(), "watermark 12");
}

TEST_F(InputGateTest, AllIdleIsIdle) {
  Make(2);
  channels_[0]->Send(Watermark{10});
  channels_[1]->Send(Watermark{20});
  EXPECT_EQ(Next(), "watermark 10");
  channels_[0]->Send(Watermark{10, true});
  EXPECT_EQ(Next(), "watermark 20");
  channels_[1]->Send(Watermark{20, true});
  EXPECT_EQ(Next(), "watermark 20 idle");
}

TEST_F(InputGateTest, EndedChannelsDoNotHoldBackAndStillCarryBarriers) {
  Make(2);
  channels_[0]->Send(Watermark{10});
  channels_[1]->Send(EndOfInput{});
  EXPECT_EQ(Next(), "watermark 10");
  channels_[0]->Send(Barrier{1});
  EXPECT_EQ(Next(), "nothing");
  channels_[1]->Send(Barrier{1});
  EXPECT_EQ(Next(), "barrier 1");
  channels_[0]->Send(EndOfInput{});
  EXPECT_EQ(Next(), "end");
  channels_[0]->Send(Barrier{2});
  channels_[1]->Send(Barrier{2});
  EXPECT_EQ(Next(), "barrier 2");
}

TEST_F(InputGateTest, AnEndedChannelMakesNothingLateOfOneThatIsIdle) {
  Make(2);
  channels_[0]->Send(Watermark{10});
  channels_[1]->Send(Watermark{5, true});
  EXPECT_EQ(Next(), "watermark 10");
  channels_[0]->Send(Watermark{kMaxTimestamp});
  EXPECT_EQ(Next(), "watermark 10 idle");
  channels_[0]->Send(EndOfInput{});
  EXPECT_EQ(Next(), "nothing");
  channels_[1]->Send(Rows({1}));
  EXPECT_EQ(Next(), "rows 1 from 1");
  channels_[1]->Send(Watermark{12});
  EXPECT_EQ(Next(), "watermark 12");
  channels_[1]->Send(Watermark{kMaxTimestamp});
  EXPECT_EQ(Next(), "watermark " + std::to_string(kMaxTimestamp));
  channels_[1]->Send(EndOfInput{});
  EXPECT_EQ(Next(), "end");
}

TEST_F(InputGateTest, BarriersOfTwoCheckpointsAreAnError) {
  Make(2);
  channels_[0]->Send(Barrier{1});
  channels_[1]->Send(Barrier{2});
  EXPECT_EQ(Next(),
            "error: the barrier of checkpoint 2 arrived while checkpoint 1 is being aligned");
}

TEST_F(InputGateTest, ChannelsTakeTurns) {
  Make(2);
  for (int i = 0; i < 2; ++i) {
    channels_[0]->Send(Rows({1}));
    channels_[1]->Send(Rows({2}));
  }
  EXPECT_EQ(Next(), "rows 1 from 0");
  EXPECT_EQ(Next(), "rows 1 from 1");
  EXPECT_EQ(Next(), "rows 1 from 0");
  EXPECT_EQ(Next(), "rows 1 from 1");
}

// Watermark alignment.

TEST_F(InputGateTest, ASenderTooFarAheadHasNoCreditUntilTheOthersCatchUp) {
  Make(3, 10);
  channels_[0]->Send(Watermark{111});
  channels_[0]->Send(Rows({112}));
  channels_[1]->Send(Watermark{100});
  channels_[2]->Send(Watermark{110});
  EXPECT_EQ(Next(), "watermark 100");
  EXPECT_EQ(Next(), "rows 1 from 0");  // what has been sent is taken
  EXPECT_EQ(Senders(), "stopped free free");
  wakes_ = 0;
  channels_[1]->Send(Watermark{101});
  EXPECT_EQ(Next(), "watermark 101");
  EXPECT_EQ(Senders(), "free free free");
  EXPECT_EQ(wakes_, 1);
}

TEST_F(InputGateTest, ASenderIsStoppedBeforeItsWatermarkIsTaken) {
  Make(2, 10);
  channels_[0]->Send(Watermark{100});
  channels_[1]->Send(Watermark{100});
  EXPECT_EQ(Next(), "watermark 100");
  channels_[0]->Send(Rows({110}));
  channels_[0]->Send(Watermark{111});
  EXPECT_EQ(Senders(), "stopped free");
}

TEST_F(InputGateTest, AChannelThatHasNoWatermarkYetStopsTheOthers) {
  Make(2, 10);
  EXPECT_EQ(Next(), "nothing");
  channels_[0]->Send(Watermark{100});
  EXPECT_EQ(Senders(), "stopped free");  // before anything is taken
  EXPECT_EQ(Senders(), "stopped free");
  channels_[1]->Send(Watermark{kMaxTimestamp});  // as far ahead as can be, and nothing overflows
  EXPECT_EQ(Next(), "watermark 100");
  EXPECT_EQ(Senders(), "free stopped");
  channels_[0]->Send(Watermark{kMaxTimestamp - 5});
  EXPECT_EQ(Next(), "watermark " + std::to_string(kMaxTimestamp - 5));
  EXPECT_EQ(Senders(), "free free");
}

TEST_F(InputGateTest, IdleAndEndedChannelsStopNobodyAndAreNotStopped) {
  Make(3, 10);
  channels_[0]->Send(Watermark{100});
  channels_[1]->Send(Watermark{5});
  channels_[2]->Send(Watermark{200, true});
  EXPECT_EQ(Next(), "watermark 5");
  EXPECT_EQ(Senders(), "stopped free free");
  channels_[1]->Send(EndOfInput{});  // now channel 0 is the last active one
  EXPECT_EQ(Next(), "watermark 100");
  EXPECT_EQ(Senders(), "free free free");
}

TEST_F(InputGateTest, NobodyIsStoppedWhileABarrierIsBeingAligned) {
  Make(2, 10);
  channels_[0]->Send(Watermark{100});
  channels_[1]->Send(Watermark{5});
  EXPECT_EQ(Next(), "watermark 5");
  EXPECT_EQ(Senders(), "stopped free");
  channels_[1]->Send(Barrier{4});
  EXPECT_EQ(Next(), "nothing");
  EXPECT_EQ(Senders(), "free free");
  channels_[0]->Send(Rows({1, 2}));
  channels_[0]->Send(Barrier{4});
  EXPECT_EQ(Next(), "rows 2 from 0");
  EXPECT_EQ(Next(), "barrier 4");
  EXPECT_EQ(Senders(), "stopped free");
}

TEST_F(InputGateTest, WhereNothingComesNobodyIsStoppedUntilSomethingComes) {
  Make(2, 10);
  channels_[0]->Send(Watermark{100});
  channels_[1]->Send(Watermark{5});
  EXPECT_EQ(Next(), "watermark 5");
  wakes_ = 0;
  now_ += limits::kWatermarkHoldMax - 1;
  EXPECT_EQ(Next(), "nothing");
  EXPECT_EQ(Senders(), "stopped free");
  now_ += 1;
  EXPECT_EQ(Next(), "nothing");
  EXPECT_EQ(Senders(), "free free");
  EXPECT_EQ(wakes_, 1);
  channels_[0]->Send(Rows({101}));
  EXPECT_EQ(Next(), "rows 1 from 0");
  EXPECT_EQ(Senders(), "stopped free");
}

// The sender sends whatever there is credit for, all the time.
TEST_F(InputGateTest, BeforeASlowTaskLittleWaitsAndBeforeAFastOneMuch) {
  Make(2);
  auto thousand = [] {
    auto batch = std::make_unique<Batch<int64_t>>();
    for (int64_t v = 0; v < 1000; ++v) batch->Add(v, v);
    return batch;
  };
  const size_t batch_bytes = thousand()->bytes();
  auto fill = [&] {
    for (const auto& channel : channels_) {
      while (channel->credit() > 0) channel->Send(thousand());
    }
  };
  fill();
  // A batch in a tenth of a second, of each channel in turn.
  for (int i = 0; i < 1000; ++i) {
    now_ += Milliseconds(100);
    ASSERT_EQ(Next().substr(0, 9), "rows 1000");
    fill();
  }
  for (const auto& channel : channels_) {
    EXPECT_LE(channel->queued_bytes(), 60'000 + batch_bytes);
    EXPECT_GE(channel->queued_bytes(), limits::kWindowBytesMin);
  }
  wakes_ = 0;
  for (int i = 0; i < 1000; ++i) {
    now_ += Milliseconds(1);
    while (Next() != "nothing") {
    }
    fill();
  }
  for (const auto& channel : channels_) EXPECT_GE(channel->queued_bytes(), 1u << 20);
  EXPECT_GT(wakes_, 0);
}

// As much comes in a round trip as the window holds, however little that is.
TEST_F(InputGateTest, TheWindowOfASenderThatIsFarAwayGrowsUntilItHoldsARoundTrip) {
  Make(1);
  for (int round_trip = 0; round_trip < 20; ++round_trip) {
    auto batch = std::make_unique<Batch<int64_t>>();
    for (int64_t v = 0; batch->bytes() < channels_[0]->window_bytes(); ++v) batch->Add(v, v);
    channels_[0]->Send(BatchPtr(std::move(batch)));
    for (int look = 0; look < 5; ++look) {
      while (Next() != "nothing") {
      }
      now_ += limits::kWindowInterval;
    }
  }
  EXPECT_EQ(channels_[0]->window_bytes(), size_t{1} << 20) << "all that there is";
}

}  // namespace
}  // namespace weir
