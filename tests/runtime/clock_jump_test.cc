// A wall clock that jumps while timers wait: by the wall clock they fire soon or later, but once;
// delays, checkpoints and progress do not notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>

#include "jobs/job.h"
#include "runtime/local_job.h"
#include "runtime/worker/task.h"
#include "testing/temp_dir.h"
#include "tests/operators/file_sink_harness.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class JumpingClock final : public Clock {
 public:
  Timestamp Now() override { return wall; }
  int64_t MonotonicMicros() override { return monotonic; }
  void Pass(Duration time) {
    wall += time;
    monotonic += time;
  }
  Timestamp wall = Hours(480'000);
  int64_t monotonic = Seconds(50);
};

class IdleSource final : public Source {
 public:
  Status Open(OperatorContext&) override { return absl::OkStatus(); }
  StatusOr<PollResult> Poll(Output&) override {
    return PollResult{PollResult::kIdle, std::numeric_limits<int64_t>::max()};
  }
  Timestamp watermark() const override { return kMinTimestamp; }
};

using Fired = std::vector<std::pair<TimerKind, int64_t>>;

// Sets the timers it is given when it opens, and notes what fires.
class AlarmClock final : public Operator {
 public:
  AlarmClock(const Fired& set, Fired& fired) : set_(set), fired_(fired) {}
  Status Open(OperatorContext& context) override {
    for (const auto& [kind, time] : set_) {
      if (kind == TimerKind::kDelay) context.timers->SetDelayTimer(time);
      if (kind == TimerKind::kProcessingTime) context.timers->SetProcessingTimer(time);
    }
    return absl::OkStatus();
  }
  StatusOr<Progress> Process(int, BatchPtr, Output&) override { return Progress::kDone; }
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output&) override {
    fired_.emplace_back(kind, time);
    return Progress::kDone;
  }

 private:
  const Fired& set_;
  Fired& fired_;
};

class ClockJumpTest : public ::testing::Test, private TaskListener {
 protected:
  void Start() {
    JobBuilder builder("job");
    builder
        .From("source", SourceSpec<int64_t>{.make = [] { return std::make_unique<IdleSource>(); }})
        .Then<int64_t>({.name = "alarm", .kind = "alarm"},
                       [this] { return std::make_unique<AlarmClock>(set_, fired_); })
        .To("nowhere", Blackhole<int64_t>());
    auto built = builder.Build();
    ASSERT_TRUE(built.ok()) << built.status();
    job_ = *std::move(built);
    plan_ = MakeExecutionPlan(job_.graph, 1);
    Task::Setup setup;
    setup.job = &job_;
    setup.plan = &plan_;
    setup.context.job_id = "job";
    setup.context.env = &env_;
    setup.context.wake = [] {};
    memory_ = *PlanMemory(job_.graph, 1, limits::kMemoryBytesDefault);
    setup.memory = &memory_;
    setup.local_dir = dir_ / "work";
    setup.listener = this;
    task_ = std::make_unique<Task>(std::move(setup));
    task_->Open();
    task_->StartInput();
    RunUntilIdle();
  }
  void RunUntilIdle() {
    while (task_->Step()) {
    }
  }
  // As the slot would: sleeps until the task wants to be woken, for as long as `time` says.
  void Sleep(Duration time) {
    const int64_t end = clock_.monotonic + time;
    while (clock_.monotonic < end) {
      const auto wake = task_->next_wake();
      ASSERT_TRUE(wake);
      // However far away a timer is, the clocks are looked at again soon.
      ASSERT_LE(*wake, clock_.monotonic + limits::kProgressInterval);
      clock_.Pass(std::clamp<int64_t>(*wake - clock_.monotonic, 1, end - clock_.monotonic));
      RunUntilIdle();
    }
  }
  Timestamp At(Duration after) const { return start_ + after; }

  void OnOpened(TaskId) override {}
  void OnFinished(TaskId) override { finished_ = true; }
  void OnFailed(TaskId, const Status& status) override { ADD_FAILURE() << status; }
  void OnSnapshot(TaskId, CheckpointId, StatusOr<TaskSnapshot>) override {}

  testing::TempDir dir_;
  JumpingClock clock_;
  const Timestamp start_ = clock_.wall;
  Environment env_{clock_, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  Fired set_, fired_;
  bool finished_ = false;
  BuiltJob job_;
  ExecutionPlan plan_;
  MemoryPlan memory_;
  std::unique_ptr<Task> task_;
};

constexpr TimerKind kWall = TimerKind::kProcessingTime;
constexpr TimerKind kDelay = TimerKind::kDelay;

TEST_F(ClockJumpTest, WithoutAJumpEachFiresWhenItIsDue) {
  set_ = {{kWall, At(Seconds(1))}, {kDelay, clock_.monotonic + Seconds(2)}};
  Start();
  Sleep(Milliseconds(999));
  EXPECT_THAT(fired_, IsEmpty());
  Sleep(Milliseconds(2));
  EXPECT_THAT(fired_, ElementsAre(set_[0]));
  Sleep(Seconds(1));
  EXPECT_EQ(fired_, set_);
  Sleep(Seconds(10));
  EXPECT_EQ(fired_, set_);
}

TEST_F(ClockJumpTest, AJumpAheadFiresSoonAndInOrderAndOnce) {
  set_ = {{kWall, At(Minutes(1))}, {kWall, At(Minutes(30))}, {kWall, At(Hours(2))}};
  Start();
  Sleep(Milliseconds(10));
  clock_.wall += Hours(1);
  Sleep(limits::kProgressInterval);
  EXPECT_THAT(fired_, ElementsAre(set_[0], set_[1]));
  // Back again, and past the same times once more.
  clock_.wall -= Hours(1);
  Sleep(Minutes(2));
  EXPECT_THAT(fired_, ElementsAre(set_[0], set_[1]));
}

TEST_F(ClockJumpTest, AJumpBackOnlyDelays) {
  set_ = {{kWall, At(Seconds(1))}};
  Start();
  Sleep(Milliseconds(10));
  clock_.wall -= Hours(1);
  Sleep(Minutes(1));
  EXPECT_THAT(fired_, IsEmpty());
  clock_.wall = At(Milliseconds(900));
  Sleep(limits::kProgressInterval);
  EXPECT_EQ(fired_, set_);
  clock_.wall -= Hours(1);
  Sleep(Minutes(1));
  EXPECT_EQ(fired_, set_);
}

TEST_F(ClockJumpTest, DelaysDoNotNotice) {
  for (Duration jump : {Hours(1), -Hours(1)}) {
    fired_.clear();
    set_ = {{kDelay, clock_.monotonic + Seconds(1)}};
    Start();
    clock_.wall += jump;
    Sleep(Milliseconds(999));
    EXPECT_THAT(fired_, IsEmpty());
    Sleep(Milliseconds(1));
    EXPECT_EQ(fired_, set_);
  }
}

// What reads from the task was told that nothing comes any more.
TEST_F(ClockJumpTest, AfterTheEndOfTheInputNoneFires) {
  set_ = {{kWall, At(Seconds(1))}, {kWall, At(Seconds(30))}};
  Start();
  Sleep(Seconds(2));
  EXPECT_THAT(fired_, ElementsAre(set_[0]));
  task_->DrainSource();
  RunUntilIdle();
  ASSERT_TRUE(finished_);
  Sleep(Minutes(1));
  EXPECT_THAT(fired_, ElementsAre(set_[0]));
}

// A wall clock that jumps an hour at every look, on the machine's own passing of time.
class RestlessClock final : public Clock {
 public:
  Timestamp Now() override {
    return RealEnvironment().clock.Now() + (looks_++ % 2 == 0 ? Hours(1) : -Hours(1));
  }
  int64_t MonotonicMicros() override { return RealEnvironment().clock.MonotonicMicros(); }

 private:
  std::atomic<int> looks_ = 0;
};

TEST(ClockJump, AJobWithDelaysAndCheckpointsEndsAndIsExact) {
  testing::TempDir dir;
  std::filesystem::create_directories(dir / "input");
  std::vector<std::string> lines;
  for (int i = 0; i < 600; ++i) lines.push_back(fmt::format(R"({{"id":"{:04}"}})", i));
  std::ofstream(dir / "input/a.jsonl") << fmt::format("{}\n", fmt::join(lines, "\n"));
  JobBuilder builder("job");
  builder.From("source", EventFiles({.input = dir / "input", .rate = 2000}, {.id = {"id"}}))
      .Rebatch("rebatch", {.delay = Milliseconds(5)})
      .To("files", EventFileSink({.directory = dir / "out", .by_partition = false}));
  auto built = builder.Build();
  ASSERT_TRUE(built.ok()) << built.status();
  RestlessClock clock;
  Environment env{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  LocalJobOptions options;
  options.data_dir = dir / "data";
  options.identity.job_name = "job";
  options.checkpoint_interval = Milliseconds(20);
  auto local = LocalJob::Prepare(*built, options, env);
  ASSERT_TRUE(local.ok()) << local.status();
  int reports = 0;
  LocalJobResult result = (*local)->Run({[&](const JobStatus&) { ++reports; }, nullptr});
  EXPECT_EQ(result.state, RunState::kFinished) << result.status.failure;
  EXPECT_GE(result.status.checkpoints_completed, 3u);
  EXPECT_GE(reports, 3);
  std::vector<std::string> written;
  for (const auto& file : std::filesystem::directory_iterator(dir / "out")) {
    if (!file.is_regular_file()) continue;
    for (auto& line : testing::Lines(testing::Decompress(file.path()))) written.push_back(line);
  }
  std::sort(written.begin(), written.end());
  EXPECT_EQ(written, lines);
}

}  // namespace
}  // namespace weir
