#include "operators/transforms/async.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <numeric>
#include <random>
#include <thread>

#include "testing/operator_bed.h"
#include "testing/recording_output.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using weir::testing::OperatorBed;
using weir::testing::RecordingOutput;

struct Question {
  int64_t number = 0;
  std::string_view text;
  BOOST_DESCRIBE_CLASS(Question, (), (number, text), (), ())
};
using Answer = std::tuple<int64_t, std::string_view>;

BatchPtr Questions(int64_t first, int64_t n) {
  auto batch = std::make_unique<Batch<Question>>();
  SlabArena arena;
  for (int64_t i = first; i < first + n; ++i) {
    batch->Add({i, arena.Copy("question " + std::to_string(i))}, i);
  }
  arena.Release(batch->slabs());
  return batch;
}

// A client that calls back when the test says so.
struct Client {
  struct Asked {
    int64_t number;
    AsyncReply<Answer> reply;
  };
  std::vector<Asked> asked;

  void operator()(const Question& question, AsyncReply<Answer> reply) {
    asked.push_back({question.number, std::move(reply)});
  }
  // The open call about this row that was made last.
  AsyncReply<Answer> Take(int64_t number) {
    for (size_t i = asked.size(); i-- > 0;) {
      if (asked[i].number != number) continue;
      AsyncReply<Answer> reply = asked[i].reply;
      asked.erase(asked.begin() + i);
      return reply;
    }
    ADD_FAILURE() << "nobody has asked for " << number;
    return asked.at(0).reply;
  }
  void Say(int64_t number) { Take(number)(Answer{number, "yes"}); }
  void Fail(int64_t number, Status status) { Take(number)(std::move(status)); }
  std::vector<int64_t> open() const {
    std::vector<int64_t> numbers;
    for (const Asked& call : asked) numbers.push_back(call.number);
    return numbers;
  }
};

class AsyncTest : public ::testing::Test {
 protected:
  struct ToClient {
    Client* client;
    void operator()(const Question& question, AsyncReply<Answer> reply) {
      if (question.text == "throw") throw std::runtime_error("the client throws");
      (*client)(question, std::move(reply));
    }
  };
  using Op = AsyncOperator<Question, Answer, ToClient>;

  void Start(AsyncOptions options) {
    op_ = std::make_unique<Op>(options, ToClient{&client_});
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  Progress Process(BatchPtr batch) { return op_->Process(0, std::move(batch), out_).value(); }
  // As the driver does after a wake-up or a notification.
  Progress Resume() { return op_->Resume(out_).value(); }
  Progress Advance(Duration by) {
    bed_.clock.now += by;
    return op_->OnTimer(TimerKind::kDelay, bed_.clock.now, out_).value();
  }
  std::vector<int64_t> Numbers() {
    std::vector<int64_t> numbers;
    for (const Answer& answer : out_.Rows<Answer>()) numbers.push_back(std::get<0>(answer));
    return numbers;
  }
  Timestamp Passed() { return op_->OutputWatermark(kMaxTimestamp - 1); }
  uint64_t counter(const char* name) { return bed_.counters.named().at(name); }

  OperatorBed bed_;
  RecordingOutput out_;
  Client client_;
  std::unique_ptr<Op> op_;
};

TEST_F(AsyncTest, AnswersLeaveInTheOrderOfTheRows) {
  Start({.concurrency = 3});
  EXPECT_EQ(Process(Questions(0, 3)), Progress::kDone);
  EXPECT_THAT(client_.open(), ElementsAre(0, 1, 2));
  client_.Say(2);
  client_.Say(1);
  Resume();
  EXPECT_THAT(Numbers(), IsEmpty());
  client_.Say(0);
  Resume();
  EXPECT_THAT(Numbers(), ElementsAre(0, 1, 2));
  EXPECT_THAT(out_.emitted.back().batch->times(), ElementsAre(0, 1, 2));
  EXPECT_EQ(counter("calls"), 3u);
}

TEST_F(AsyncTest, OrAsTheyCome) {
  Start({.concurrency = 3, .ordered = false});
  Process(Questions(0, 3));
  client_.Say(2);
  Resume();
  EXPECT_THAT(Numbers(), ElementsAre(2));
  client_.Say(0);
  client_.Say(1);
  Resume();
  EXPECT_THAT(Numbers(), ElementsAre(2, 0, 1));
}

TEST_F(AsyncTest, NoMoreCallsThanMayBeAreUnderWay) {
  Start({.concurrency = 2});
  EXPECT_EQ(Process(Questions(0, 4)), Progress::kBlocked);
  EXPECT_THAT(client_.open(), ElementsAre(0, 1));
  client_.Say(1);
  EXPECT_EQ(Resume(), Progress::kBlocked) << "in order, an answer that waits takes room, too";
  EXPECT_THAT(client_.open(), ElementsAre(0));
  client_.Say(0);
  EXPECT_EQ(Resume(), Progress::kDone);
  EXPECT_THAT(client_.open(), ElementsAre(2, 3));
  EXPECT_EQ(Process(Questions(4, 1)), Progress::kBlocked);
}

TEST_F(AsyncTest, OutOfOrderACallThatHangsDoesNotHoldUpTheOthers) {
  Start({.concurrency = 2, .ordered = false});
  EXPECT_EQ(Process(Questions(0, 1000)), Progress::kBlocked);
  for (int64_t i = 1; i < 100; ++i) {
    client_.Say(i);
    EXPECT_EQ(Resume(), Progress::kBlocked);
    EXPECT_THAT(client_.open(), ElementsAre(0, i + 1));
  }
  EXPECT_EQ(Numbers().size(), 99u);
  // But not for ever: what it leaves behind is bounded.
  for (int64_t i = 100; client_.open().size() == 2 && i < 999; ++i) {
    client_.Say(i);
    Resume();
  }
  EXPECT_THAT(client_.open(), ElementsAre(0));
  EXPECT_LE(Numbers().size(), 128u);
  client_.Say(0);
  Resume();
  EXPECT_THAT(client_.open(), SizeIs(2));
}

TEST_F(AsyncTest, NoWatermarkOvertakesARow) {
  for (bool ordered : {true, false}) {
    Start({.concurrency = 4, .ordered = ordered});
    ASSERT_TRUE(op_->OnWatermark(1, out_).ok());
    EXPECT_EQ(Passed(), 1);
    Process(Questions(0, 2));
    ASSERT_TRUE(op_->OnWatermark(2, out_).ok());
    Process(Questions(2, 1));
    ASSERT_TRUE(op_->OnWatermark(3, out_).ok());
    client_.Say(2);
    client_.Say(1);
    Resume();
    EXPECT_EQ(Passed(), 1);
    client_.Say(0);
    Resume();
    EXPECT_EQ(Passed(), 3);
  }
}

TEST_F(AsyncTest, ABarrierAndTheEndWaitForAllCalls) {
  Start({.concurrency = 4});
  Process(Questions(0, 2));
  EXPECT_EQ(op_->Drain(DrainReason::kBarrier, out_).value(), Progress::kBlocked);
  client_.Say(0);
  EXPECT_EQ(Resume(), Progress::kBlocked);
  client_.Say(1);
  EXPECT_EQ(Resume(), Progress::kDone);
  EXPECT_EQ(op_->Freeze(1), nullptr);
  EXPECT_THAT(Numbers(), ElementsAre(0, 1));
  Process(Questions(2, 1));
  EXPECT_EQ(op_->Drain(DrainReason::kEndOfInput, out_).value(), Progress::kBlocked);
  client_.Say(2);
  EXPECT_EQ(Resume(), Progress::kDone);
}

TEST_F(AsyncTest, WhatMayPassIsTriedAgainAfterAPauseThatDoubles) {
  Start({.concurrency = 1,
         .retries = 3,
         .backoff_min = Milliseconds(10),
         .backoff_max = Milliseconds(30)});
  Process(Questions(7, 1));
  for (Duration pause : {Milliseconds(10), Milliseconds(20), Milliseconds(30)}) {
    client_.Fail(7, absl::UnavailableError("down"));
    Resume();
    EXPECT_EQ(*bed_.timers.wake_up, bed_.clock.now + pause);
    bed_.timers.wake_up.reset();
    Advance(pause - 1);
    EXPECT_THAT(client_.open(), IsEmpty());
    Advance(1);
    EXPECT_THAT(client_.open(), ElementsAre(7));
    bed_.timers.wake_up.reset();
  }
  EXPECT_THAT(out_.rejected, IsEmpty());
  client_.Fail(7, absl::UnavailableError("still down"));
  Resume();
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_THAT(out_.rejected[0].error,
              ::testing::AllOf(HasSubstr("failed 4 times"), HasSubstr("still down")));
  EXPECT_THAT(out_.rejected[0].record, HasSubstr(R"("number":7)"));
  EXPECT_EQ(out_.rejected[0].time, 7);
  EXPECT_EQ(counter("calls"), 4u);
  EXPECT_EQ(counter("retries"), 3u);
}

TEST_F(AsyncTest, WhatWillNotPassIsRejectedAtOnceAndHoldsNothingUp) {
  Start({.concurrency = 2});
  Process(Questions(0, 2));
  client_.Fail(0, absl::InvalidArgumentError("no such thing"));
  client_.Say(1);
  Resume();
  EXPECT_THAT(Numbers(), ElementsAre(1));
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_EQ(out_.rejected[0].error, "no such thing");
  EXPECT_EQ(counter("retries"), 0u);
}

TEST_F(AsyncTest, AClientThatThrowsOrDropsTheCallFailsIt) {
  Start({.concurrency = 3, .retries = 0});
  auto batch = std::make_unique<Batch<Question>>();
  batch->Add({0, "throw"}, 0);
  batch->Add({1, "drop"}, 1);
  Process(std::move(batch));
  client_.asked.clear();
  Resume();
  ASSERT_EQ(out_.rejected.size(), 2u);
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("the client throws"));
  EXPECT_THAT(out_.rejected[1].error, HasSubstr("dropped the call without an answer"));
}

TEST_F(AsyncTest, ACallThatNeverReturnsCostsItsTimeAndALateAnswerIsIgnored) {
  Start({.concurrency = 2,
         .timeout = Seconds(1),
         .retries = 1,
         .backoff_min = Milliseconds(5),
         .backoff_max = Milliseconds(5)});
  EXPECT_EQ(Process(Questions(0, 3)), Progress::kBlocked);
  client_.Say(1);
  AsyncReply<Answer> late = client_.Take(0);
  EXPECT_FALSE(late.given_up());
  bed_.clock.now += Seconds(1);
  EXPECT_EQ(Resume(), Progress::kBlocked);
  EXPECT_TRUE(late.given_up());
  EXPECT_EQ(counter("timeouts"), 1u);
  bed_.clock.now += Milliseconds(5);
  Resume();
  EXPECT_THAT(client_.open(), ElementsAre(0));
  late(Answer{0, "late"});
  Resume();
  EXPECT_THAT(Numbers(), IsEmpty());
  bed_.clock.now += Seconds(1);
  EXPECT_EQ(Resume(), Progress::kDone);
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("no answer within 1s"));
  EXPECT_THAT(Numbers(), ElementsAre(1));
  EXPECT_EQ(client_.open().back(), 2);
}

TEST_F(AsyncTest, ARowLivesAsLongAsItsCallAndAnAnswerAfterTheEndHurtsNobody) {
  Start({.concurrency = 2});
  BatchPtr batch = Questions(0, 1);
  std::weak_ptr<const Slab> slab = batch->slabs().slabs()[0];
  Process(std::move(batch));
  op_.reset();
  EXPECT_FALSE(slab.expired());
  client_.Say(0);
  EXPECT_TRUE(slab.expired());
}

TEST_F(AsyncTest, TimersDoNotPileUp) {
  Start({.concurrency = 1, .timeout = Hours(1)});
  for (int64_t i = 0; i < 100; ++i) {
    Process(Questions(i, 1));
    bed_.clock.now += Milliseconds(1);
    client_.Say(i);
    Resume();
  }
  EXPECT_THAT(bed_.timers.delay, SizeIs(1));
}

TEST_F(AsyncTest, AnswersMayPointIntoTheirRows) {
  auto echo = [](const Question& question, AsyncReply<std::string_view> reply) {
    reply(question.text);
  };
  AsyncOperator<Question, std::string_view, decltype(echo)> op({.concurrency = 4}, echo);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  auto progress = op.Process(0, Questions(0, 10), out_).value();
  while (progress == Progress::kBlocked) progress = op.Resume(out_).value();
  while (out_.Rows<std::string_view>().size() < 10) ASSERT_TRUE(op.Resume(out_).ok());
  EXPECT_EQ(out_.Rows<std::string_view>()[9], "question 9");
}

TEST_F(AsyncTest, OptionsThatCannotWorkAreRefused) {
  auto error = [](AsyncOptions options) { return std::string(Validate(options).message()); };
  EXPECT_THAT(error({.concurrency = 0}), HasSubstr("concurrency"));
  EXPECT_THAT(error({.concurrency = limits::kAsyncConcurrencyMax + 1}), HasSubstr("concurrency"));
  EXPECT_THAT(error({.timeout = 0}), HasSubstr("timeout"));
  EXPECT_THAT(error({.backoff_min = 2, .backoff_max = 1}), HasSubstr("backoff"));
  EXPECT_TRUE(Validate(AsyncOptions{}).ok());
}

// Random answers, failures, silence and barriers: every row leaves or is rejected, once, in order.
TEST_F(AsyncTest, EveryRowLeavesOnceOrIsRejected) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const bool ordered = seed % 2 == 0;
    out_.Clear();
    client_.asked.clear();
    Start({.concurrency = 1 + random() % 8,
           .ordered = ordered,
           .timeout = Milliseconds(20),
           .retries = static_cast<int>(random() % 3),
           .backoff_min = Milliseconds(1),
           .backoff_max = Milliseconds(4)});
    int64_t next = 0;
    Progress progress = Progress::kDone;
    bool ended = false;
    for (int step = 0; step < 5000 && !(ended && progress == Progress::kDone); ++step) {
      if (progress == Progress::kDone && next < 200) {
        const int64_t n = random() % 30;
        progress = Process(Questions(next, n));
        next += n;
      } else if (progress == Progress::kDone) {
        ended = true;
        progress = op_->Drain(DrainReason::kEndOfInput, out_).value();
      } else {
        for (int64_t number : client_.open()) {
          switch (random() % 6) {
            case 0:
              client_.Fail(number, absl::UnavailableError("down"));
              break;
            case 1:
              client_.Fail(number, absl::NotFoundError("none"));
              break;
            case 2:
              break;  // silence
            default:
              client_.Say(number);
          }
        }
        bed_.clock.now += random() % Milliseconds(5);
        progress = Resume();
      }
    }
    ASSERT_TRUE(ended && progress == Progress::kDone) << "seed " << seed;
    std::vector<int64_t> left = Numbers();
    ASSERT_TRUE(!ordered || std::is_sorted(left.begin(), left.end())) << "seed " << seed;
    for (const auto& rejected : out_.rejected) left.push_back(rejected.time);
    std::sort(left.begin(), left.end());
    std::vector<int64_t> all(next);
    std::iota(all.begin(), all.end(), 0);
    ASSERT_EQ(left, all) << "seed " << seed;
  }
}

// --- functions that block, on threads ---

// Lets the test wait until the operator is woken.
struct Bell {
  void Ring() {
    std::lock_guard lock(mutex);
    rung = true;
    changed.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return std::exchange(rung, false); });
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool rung = false;
};

TEST(AsyncThreadsTest, CallsRunAtOnceAndNoMoreThanMayBe) {
  OperatorBed bed;
  RecordingOutput out;
  Bell bell;
  bed.context.wake = [&] { bell.Ring(); };
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  auto fn = [&](const Question& question) -> StatusOr<int64_t> {
    const int now = ++running;
    for (int before = most; now > before && !most.compare_exchange_weak(before, now);) {
    }
    // Until another call runs beside it, so that one thread alone would hang here.
    while (question.number < 4 && most < 2) std::this_thread::yield();
    --running;
    if (question.number == 5) throw std::runtime_error("five");
    return question.number;
  };
  AsyncOperator<Question, int64_t, decltype(fn)> op({.concurrency = 4, .retries = 0}, fn);
  ASSERT_TRUE(op.Open(bed.context).ok());
  auto progress = op.Process(0, Questions(0, 300), out).value();
  bool draining = false;
  while (progress == Progress::kBlocked || !draining) {
    if (progress == Progress::kDone) {
      draining = true;
      progress = op.Drain(DrainReason::kEndOfInput, out).value();
    } else {
      bell.Wait();
      progress = op.Resume(out).value();
    }
  }
  const auto numbers = out.Rows<int64_t>();
  EXPECT_EQ(numbers.size(), 299u);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  ASSERT_EQ(out.rejected.size(), 1u);
  EXPECT_EQ(out.rejected[0].error, "five");
  EXPECT_GE(most, 2);
  EXPECT_LE(most, 4);
}

TEST(AsyncThreadsTest, ACallThatNeverReturnsDoesNotHoldUpTheEnd) {
  // What the thread that is left behind uses outlives the test.
  static std::atomic<bool> go_on = false;
  static std::atomic<int> inside = 0;
  OperatorBed bed;
  RecordingOutput out;
  auto fn = [](const Question&) -> StatusOr<int64_t> {
    ++inside;
    while (!go_on) std::this_thread::yield();
    --inside;
    return 1;
  };
  using Op = AsyncOperator<Question, int64_t, decltype(fn)>;
  auto op =
      std::make_unique<Op>(AsyncOptions{.concurrency = 1, .timeout = Seconds(1), .retries = 0}, fn);
  ASSERT_TRUE(op->Open(bed.context).ok());
  EXPECT_EQ(op->Process(0, Questions(0, 3), out).value(), Progress::kBlocked);
  while (inside == 0) std::this_thread::yield();
  // The second and the third find no thread; their time runs out all the same.
  for (int i = 0; i < 3; ++i) {
    bed.clock.now += Seconds(1);
    ASSERT_TRUE(op->Resume(out).ok());
  }
  EXPECT_EQ(out.rejected.size(), 3u);
  op.reset();  // leaves the thread behind
  EXPECT_EQ(inside, 1);
  go_on = true;
  while (inside > 0) std::this_thread::yield();
}

}  // namespace
}  // namespace weir
