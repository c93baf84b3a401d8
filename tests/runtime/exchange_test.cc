#include <gtest/gtest.h>

#include <map>

#include "core/hash.h"
#include "core/key_group.h"
#include "core/limits.h"
#include "operators/pace.h"
#include "runtime/exchange/exchange_writer.h"

namespace weir {
namespace {

std::unique_ptr<Batch<int64_t>> Rows(int64_t first, int64_t count) {
  auto batch = std::make_unique<Batch<int64_t>>();
  for (int64_t v = first; v < first + count; ++v) batch->Add(v, v);
  return batch;
}

class ExchangeTest : public ::testing::TestWithParam<bool> {
 protected:
  ExchangeTest() {
    keyed_.partitioning = Partitioning::kKeyed;
    code_.codec = MakeRowCodec<int64_t>();
    code_.hash_keys = [](BatchBase& batch) {
      std::vector<uint64_t> hashes;
      for (int64_t v : Batch<int64_t>::Of(batch).values()) hashes.push_back(HashOf(v));
      batch.set_key_hashes(std::move(hashes));
    };
  }
  static uint64_t HashOf(int64_t v) { return Hash64(std::to_string(v % 50)); }

  ExchangeWriter Make(const EdgeSpec& edge, int channels, size_t capacity) {
    for (int i = 0; i < channels; ++i) {
      channels_.push_back(std::make_shared<Channel>(
          capacity, [] {}, [this] { ++credit_wakes_; }));
    }
    return ExchangeWriter({&edge, &code_, channels_, GetParam()});
  }
  std::vector<int64_t> Receive(int channel) {
    std::vector<int64_t> values;
    while (auto item = channels_[channel]->Receive()) {
      if (auto* batch = std::get_if<BatchPtr>(&*item)) {
        for (int64_t v : Batch<int64_t>::Of(**batch).values()) values.push_back(v);
      } else if (auto* watermark = std::get_if<Watermark>(&*item)) {
        last_watermark_ = watermark->time;
      }
    }
    return values;
  }

  EdgeSpec forward_;
  EdgeSpec keyed_;
  EdgeCode code_;
  std::vector<std::shared_ptr<Channel>> channels_;
  int credit_wakes_ = 0;
  Timestamp last_watermark_ = kMinTimestamp;
};

TEST_P(ExchangeTest, RowsGoToTheOwnerOfTheirKeyGroupInOrder) {
  ExchangeWriter writer = Make(keyed_, 3, 1 << 20);
  for (int64_t i = 0; i < 10; ++i) writer.Add(Rows(i * 100, 100), 0);
  ASSERT_TRUE(writer.Flush());
  std::map<int64_t, int64_t> last_of_key;
  int64_t total = 0;
  for (int c = 0; c < 3; ++c) {
    for (int64_t v : Receive(c)) {
      EXPECT_EQ(SubtaskOf(KeyGroupOf(HashOf(v)), 3), c);
      auto [last, is_new] = last_of_key.emplace(v % 50, v);
      if (!is_new) {
        EXPECT_LT(last->second, v);
        last->second = v;
      }
      ++total;
    }
  }
  EXPECT_EQ(total, 1000);
}

TEST_P(ExchangeTest, AWatermarkThatAReceiverStopsAtIsSentAtOnce) {
  ExchangeWriter writer = Make(keyed_, 2, 1 << 20);
  channels_[1]->set_watermark_limit(100);
  writer.Add(Rows(0, 10), 0);
  writer.SetWatermark({100}, 0);
  EXPECT_TRUE(Receive(0).empty());
  writer.SetWatermark({101}, 0);
  EXPECT_EQ(Receive(0).size() + Receive(1).size(), 10u);
  EXPECT_EQ(last_watermark_, 101);
  writer.Add(Rows(10, 10), 0);
  EXPECT_FALSE(writer.Flush());  // to channel 0 it goes all the same
  EXPECT_TRUE(Receive(1).empty());
  EXPECT_TRUE(writer.congested());
  channels_[1]->set_watermark_limit(101);
  EXPECT_EQ(credit_wakes_, 1);
  EXPECT_TRUE(writer.Flush());
  EXPECT_FALSE(Receive(1).empty());
}

TEST_P(ExchangeTest, RowsWaitForCompanyButNoLongerThanTheDelay) {
  ExchangeWriter writer = Make(forward_, 1, 1 << 20);
  writer.Add(Rows(0, 10), 1000);
  writer.SendDue(1000 + limits::kCoalesceDelay - 1);
  EXPECT_EQ(Receive(0).size(), 0u);
  ASSERT_TRUE(writer.flush_due().has_value());
  writer.SendDue(*writer.flush_due());
  EXPECT_EQ(Receive(0).size(), 10u);
  EXPECT_FALSE(writer.flush_due().has_value());
}

TEST_P(ExchangeTest, AFullBatchDoesNotWait) {
  ExchangeWriter writer = Make(forward_, 1, 10 << 20);
  writer.Add(Rows(0, limits::kBatchRowsDefault), 0);
  EXPECT_EQ(Receive(0).size(), limits::kBatchRowsDefault);
}

TEST_P(ExchangeTest, AWatermarkComesBehindTheRowsBeforeIt) {
  ExchangeWriter writer = Make(forward_, 1, 1 << 20);
  writer.Add(Rows(0, 10), 0);
  writer.SetWatermark({9}, 0);
  ASSERT_TRUE(writer.Flush());
  auto first = channels_[0]->Receive();
  EXPECT_TRUE(std::holds_alternative<BatchPtr>(*first));
  EXPECT_EQ(Receive(0).size(), 0u);
  EXPECT_EQ(last_watermark_, 9);
}

TEST_P(ExchangeTest, WithoutCreditNothingIsSentAndNothingIsLost) {
  // Room for about one row at a time: a batch is cut to the grant, but never to less than a row.
  ExchangeWriter writer = Make(forward_, 1, 1);
  writer.Add(Rows(0, 20), 0);
  writer.SetWatermark({19}, 0);
  std::vector<int64_t> received;
  int rounds = 0;
  while (!writer.Flush()) {
    EXPECT_TRUE(writer.congested());
    for (int64_t v : Receive(0)) received.push_back(v);
    ASSERT_LT(++rounds, 100);
  }
  for (int64_t v : Receive(0)) received.push_back(v);
  ASSERT_EQ(received.size(), 20u);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(received[i], i);
  EXPECT_EQ(last_watermark_, 19);
  EXPECT_GE(credit_wakes_, 19);
}

TEST_P(ExchangeTest, WhatWaitsForASlowReceiverIsAPartOfItsWindow) {
  ExchangeWriter writer = Make(forward_, 1, 1 << 20);
  const size_t row = Rows(0, 1)->bytes(), window = 100 * row;
  // While the receiver keeps up a batch waits for company, whatever it weighs.
  writer.Add(Rows(0, 500), 0);
  EXPECT_FALSE(writer.congested());
  EXPECT_TRUE(Receive(0).empty());
  ASSERT_TRUE(writer.Flush());
  EXPECT_EQ(Receive(0).size(), 500u);
  EXPECT_EQ(writer.batch_bytes(), kAnyBatchBytes);

  channels_[0]->set_window_bytes(window);
  EXPECT_EQ(writer.batch_bytes(), window / 2);
  size_t added = 0;
  for (; !writer.congested(); added += 10) writer.Add(Rows(added, 10), 0);
  // All that is in front of a barrier: what the channel holds, and a part of it that waits here.
  EXPECT_EQ(channels_[0]->queued_bytes(), window);
  EXPECT_LE(added * row, window + window / limits::kWindowBatches + 10 * row);
  std::vector<int64_t> received = Receive(0);
  ASSERT_TRUE(writer.Flush());
  for (int64_t v : Receive(0)) received.push_back(v);
  ASSERT_EQ(received.size(), added);
  for (size_t i = 0; i < added; ++i) EXPECT_EQ(received[i], static_cast<int64_t>(i));
}

INSTANTIATE_TEST_SUITE_P(PlainAndEncoded, ExchangeTest, ::testing::Bool());

}  // namespace
}  // namespace weir
