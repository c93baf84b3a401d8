#include "operators/sinks/stdout_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "operators/sinks/blackhole_sink.h"
#include "tests/operators/file_sink_harness.h"

namespace weir::testing {
namespace {

class Pipe {
 public:
  Pipe() { WEIR_CHECK(pipe(fds_) == 0); }
  ~Pipe() {
    CloseWriter();
    close(fds_[0]);
  }
  int writer() const { return fds_[1]; }
  void CloseWriter() {
    if (fds_[1] >= 0) close(fds_[1]);
    fds_[1] = -1;
  }
  // Until the writer is closed.
  std::string ReadAll() {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(fds_[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, n);
    return text;
  }

 private:
  int fds_[2];
};

struct Task {
  explicit Task(IoPool& pool, int fd)
      : env{RealEnvironment().clock, RealEnvironment().disk, pool, RealEnvironment().random},
        sink(std::make_unique<EventLines>(), fd) {
    context.env = &env;
    context.wake = [this] { wakes.set_value(); };
    WEIR_CHECK(sink.Open(context).ok());
  }
  Environment env;
  OperatorContext context;
  RecordingOutput out;
  std::promise<void> wakes;  // one wake-up
  StdoutSink sink;
};

TEST(StdoutSink, PrintsLinesAndDrainsBeforeABarrier) {
  Pipe pipe;
  ManualPool pool;
  Task task(pool, pipe.writer());
  ASSERT_EQ(*task.sink.Write(EventBatch({{"a", "1"}, {"b", "2"}}), task.out), Progress::kDone);
  EXPECT_EQ(*task.sink.Drain(DrainReason::kBarrier, task.out), Progress::kBlocked);
  pool.RunAll();
  task.wakes.get_future().wait();
  EXPECT_EQ(*task.sink.Resume(task.out), Progress::kDone);
  EXPECT_EQ(*task.sink.Drain(DrainReason::kEndOfInput, task.out), Progress::kDone);
  pipe.CloseWriter();
  EXPECT_EQ(pipe.ReadAll(), "1\n2\n");
}

TEST(StdoutSink, BlocksWhileTheReaderIsSlow) {
  Pipe pipe;
  TestPool pool;
  Task task(pool, pipe.writer());
  const std::string line(3 << 20, 'x');
  ASSERT_EQ(*task.sink.Write(EventBatch({{"a", line}}), task.out), Progress::kBlocked);
  auto text = std::async(std::launch::async, [&] { return pipe.ReadAll(); });
  task.wakes.get_future().wait();
  EXPECT_EQ(*task.sink.Resume(task.out), Progress::kDone);
  pipe.CloseWriter();
  EXPECT_EQ(text.get(), line + "\n");
}

TEST(StdoutSink, TellsThatTheDescriptorCannotBeWritten) {
  ManualPool pool;
  Task task(pool, 1'000'000);
  ASSERT_TRUE(task.sink.Write(EventBatch({{"a", "1"}}), task.out).ok());
  pool.RunAll();
  EXPECT_FALSE(task.sink.Resume(task.out).ok());
}

TEST(StdoutSink, CannotRevoke) {
  ManualPool pool;
  Task task(pool, 1);
  EXPECT_TRUE(task.sink.Recover({.job_id = "j", .restored = 1}).ok());
  EXPECT_EQ(task.sink.Recover({.job_id = "j", .restored = 1, .revoke = true}).code(),
            absl::StatusCode::kUnimplemented);
}

TEST(BlackholeSink, TakesEverything) {
  BlackholeSink sink;
  RecordingOutput out;
  EXPECT_EQ(*sink.Write(EventBatch({{"/", "\n"}}), out), Progress::kDone);
  EXPECT_TRUE(out.rejected.empty());
}

}  // namespace
}  // namespace weir::testing
