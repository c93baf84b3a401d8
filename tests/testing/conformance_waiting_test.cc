// How the conformance kit serves an operator that waits for what is outside of it: by wake, notify
// and SetWakeUp(), as the driver does (runtime/worker/chain_node.h).
#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <set>

#include "testing/conformance.h"
#include "testing/gtest.h"
#include "tests/testing/faulty_stages.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

struct Served {
  int notified = 0;
  int gave_up = 0;  // rows, by the clock
};

// Asks for each row outside and lets it go with the answer, or after a second. Odd rows have no
// answer.
class Asker final : public Operator {
 public:
  Asker(std::shared_ptr<Served> served, bool sets_wake_up)
      : served_(std::move(served)), sets_wake_up_(sets_wake_up) {}

  Status Open(OperatorContext& context) override {
    context_ = context;
    return absl::OkStatus();
  }
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    const Batch<Item>& items = Batch<Item>::Of(std::as_const(*batch));
    for (size_t i = 0; i < items.rows(); ++i) {
      const int64_t due = context_.env->clock.MonotonicMicros() + Seconds(1);
      rows_.push_back({++asked_, due, std::string(items[i].key), items[i].n, items.times()[i]});
      if (items[i].n % 2 == 0) {
        context_.env->io.Submit(
            [inbox = inbox_, number = asked_, wake = context_.wake, notify = context_.notify] {
              {
                std::lock_guard lock(inbox->mutex);
                inbox->answered.insert(number);
              }
              wake();
              notify();
            });
      }
    }
    return LetGo(out, kHeldMax);
  }
  StatusOr<Progress> Resume(Output& out) override { return LetGo(out, held_max_); }
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp, Output& out) override {
    served_->notified += kind == TimerKind::kNotified;
    return LetGo(out, kHeldMax);
  }
  StatusOr<Progress> Drain(DrainReason, Output& out) override { return LetGo(out, 0); }
  Timestamp OutputWatermark(Timestamp input) const override {
    for (const Row& row : rows_) input = std::min(input, row.time - 1);
    return input;
  }

 private:
  static constexpr size_t kHeldMax = 2;
  struct Row {
    int number;
    int64_t due;
    std::string key;
    int64_t n;
    Timestamp time;
  };
  struct Inbox {
    std::mutex mutex;
    std::set<int> answered;  // guarded by mutex
  };

  StatusOr<Progress> LetGo(Output& out, size_t held_max) {
    held_max_ = held_max;
    const int64_t now = context_.env->clock.MonotonicMicros();
    std::set<int> answered;
    {
      std::lock_guard lock(inbox_->mutex);
      answered = inbox_->answered;
    }
    auto made = std::make_unique<Batch<Item>>();
    SlabArena bytes;
    while (!rows_.empty()) {
      const Row& row = rows_.front();
      const bool has_answer = answered.count(row.number) > 0;
      if (!has_answer && row.due > now) break;
      served_->gave_up += !has_answer;
      made->Add({bytes.Copy(row.key), row.n}, row.time);
      rows_.pop_front();
    }
    bytes.Release(made->slabs());
    out.Emit(0, std::move(made));
    const bool blocked = rows_.size() > held_max;
    if (!rows_.empty() && (!blocked || !sets_wake_up_)) {
      context_.timers->SetDelayTimer(rows_.front().due);
    } else if (blocked) {
      context_.timers->SetWakeUp(rows_.front().due);
    }
    return blocked ? Progress::kBlocked : Progress::kDone;
  }

  const std::shared_ptr<Served> served_;
  const bool sets_wake_up_;
  OperatorContext context_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::deque<Row> rows_;
  int asked_ = 0;
  size_t held_max_ = kHeldMax;
};

StageCase AskerCase(std::shared_ptr<Served> served, bool sets_wake_up) {
  StageCase stage;
  stage.name = "asker";
  stage.code.op = [served, sets_wake_up] { return std::make_unique<Asker>(served, sets_wake_up); };
  stage.input.Rows<Item>({{{"a", 2}, 1}, {{"b", 4}, 2}, {{"c", 6}, 3}, {{"d", 8}, 4}})
      .Watermark(10)
      .Rows<Item>({{{"a", 1}, 11}})
      .Advance(Milliseconds(10));
  stage.output_codecs[0] = MakeRowCodec<Item>();
  stage.order = RowOrder::kSame;
  return stage;
}

TEST(ConformanceWaitingTest, OperatorsAreNotifiedAndWokenAtTheTimeTheySet) {
  auto served = std::make_shared<Served>();
  const ConformanceReport report = CheckConformance(AskerCase(served, true));
  EXPECT_TRUE(report.ok()) << report.ToText();
  EXPECT_EQ(report.rows, 5u);
  EXPECT_GT(served->notified, 0);
  EXPECT_GT(served->gave_up, 0);
}

// No timer fires while an operator is kBlocked.
TEST(ConformanceWaitingTest, ATimerDoesNotWakeWhoeverIsBlocked) {
  const ConformanceReport report = CheckConformance(AskerCase(std::make_shared<Served>(), false));
  EXPECT_TRUE(report.Broke(Rule::kProgress)) << report.ToText();
  EXPECT_THAT(report.ToText(), HasSubstr("nor has it set a time with SetWakeUp()"));
}

}  // namespace
}  // namespace weir::testing
