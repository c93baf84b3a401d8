#include "core/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "testing/temp_dir.h"
#include "tests/support/faulty_disk.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using weir::testing::FaultyDisk;
using weir::testing::TempDir;

Disk& RealDisk() { return RealEnvironment().disk; }

void WriteWhole(const std::string& path, std::string_view bytes) {
  auto file = RealDisk().Create(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append(bytes).ok());
  ASSERT_TRUE((*file)->Close().ok());
}

TEST(DiskTest, ReadsAtAnyOffsetAndShortOnlyAtTheEnd) {
  TempDir dir;
  WriteWhole(dir / "f", "0123456789");
  auto file = RealDisk().OpenForRead(dir / "f");
  ASSERT_TRUE(file.ok());
  char buffer[20];
  EXPECT_EQ((*file)->ReadAt(3, buffer, 4).value(), 4u);
  EXPECT_EQ(std::string_view(buffer, 4), "3456");
  EXPECT_EQ((*file)->ReadAt(8, buffer, 20).value(), 2u);
  EXPECT_EQ((*file)->ReadAt(10, buffer, 20).value(), 0u);
  EXPECT_EQ((*file)->ReadAt(1000, buffer, 20).value(), 0u);
}

TEST(DiskTest, TooManyOpenFilesSaysWhatToDo) {
  const Status status = ErrnoStatus(EMFILE, "cannot open f");
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::StartsWith("cannot open f: Too many open files; "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("ulimit -n"));
}

TEST(DiskTest, ErrorsNamePathAndActionAndTellWhoCanMendThem) {
  TempDir dir;
  Status missing = RealDisk().OpenForRead(dir / "none").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("cannot open " + (dir / "none")));
  EXPECT_EQ(RealDisk().Stat(dir / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RealDisk().Remove(dir / "none").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RealDisk().List(dir / "none").status().code(), absl::StatusCode::kNotFound);
  Status directory = RealDisk().OpenForRead(dir.path()).status();
  EXPECT_EQ(directory.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(directory.message()), HasSubstr("a directory"));
  ASSERT_EQ(mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(RealDisk().OpenForRead(dir / "pipe").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(DiskTest, AFullDiskIsResourceExhausted) {
  auto file = RealDisk().Create("/dev/full");
  ASSERT_TRUE(file.ok());
  Status status = (*file)->Append("x");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/dev/full"));
  EXPECT_FALSE((*file)->Sync().ok()) << "a file that lost bytes never claims to be durable";
  EXPECT_FALSE((*file)->Close().ok());
}

TEST(DiskTest, MissingPermissionIsPermissionDenied) {
  TempDir dir;
  WriteWhole(dir / "f", "x");
  ASSERT_EQ(chmod((dir / "f").c_str(), 0), 0);
  pid_t child = fork();
  if (child == 0) {
    // Root may do everything, so that it becomes somebody else.
    constexpr uid_t kNobody = 65534;
    if (geteuid() == 0 && seteuid(kNobody) != 0) _exit(2);
    Status status = RealDisk().OpenForRead(dir / "f").status();
    _exit(status.code() == absl::StatusCode::kPermissionDenied ? 0 : 1);
  }
  int result = 0;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_TRUE(WIFEXITED(result));
  EXPECT_EQ(WEXITSTATUS(result), 0);
}

TEST(DiskTest, NamesMoveLinkAndDisappear) {
  TempDir dir;
  ASSERT_TRUE(RealDisk().MakeDirectories(dir / "a/b/c").ok());
  ASSERT_TRUE(RealDisk().MakeDirectories(dir / "a/b/c").ok()) << "again";
  WriteWhole(dir / "a/z", "1");
  WriteWhole(dir / "a/y", "22");
  EXPECT_THAT(RealDisk().List(dir / "a").value(), ElementsAre("b", "y", "z"));
  EXPECT_EQ(RealDisk().Stat(dir / "a/y")->size, 2u);
  EXPECT_TRUE(RealDisk().Stat(dir / "a/b")->is_directory);
  const Timestamp age = RealEnvironment().clock.Now() - RealDisk().Stat(dir / "a/y")->modified;
  EXPECT_LT(std::abs(age), Minutes(5));
  ASSERT_TRUE(RealDisk().Rename(dir / "a/y", dir / "a/z").ok());
  EXPECT_EQ(ReadFile(RealDisk(), dir / "a/z").value(), "22");
  ASSERT_TRUE(RealDisk().HardLink(dir / "a/z", dir / "a/link").ok());
  EXPECT_EQ(RealDisk().HardLink(dir / "a/z", dir / "a/link").code(),
            absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(RealDisk().Remove(dir / "a/z").ok());
  EXPECT_EQ(ReadFile(RealDisk(), dir / "a/link").value(), "22");
  EXPECT_FALSE(RealDisk().MakeDirectories(dir / "a/link").ok()) << "a file is in the way";
  EXPECT_FALSE(RealDisk().MakeDirectories(dir / "a/link/below").ok());
  ASSERT_TRUE(RealDisk().RemoveTree(dir / "a").ok());
  EXPECT_FALSE(Exists(RealDisk(), dir / "a"));
  EXPECT_TRUE(RealDisk().RemoveTree(dir / "a").ok()) << "OK if there is none";
  EXPECT_TRUE(RealDisk().SyncDirectory(dir.path()).ok());
}

TEST(DiskTest, WholeFilesOfAnySizeComeBack) {
  TempDir dir;
  for (size_t size : {0, 1, 4095, 4096, 1'000'000}) {
    std::string bytes(size, 'x');
    ASSERT_TRUE(WriteAtomically(RealDisk(), dir / "f", bytes).ok());
    EXPECT_EQ(ReadFile(RealDisk(), dir / "f").value(), bytes);
  }
  EXPECT_TRUE(ReadFile(RealDisk(), "/proc/self/status").ok()) << "claims a size of 0";
}

TEST(DiskTest, AnAtomicWriteLeavesTheOldContentOrTheNew) {
  TempDir dir;
  FaultyDisk disk(RealDisk());
  const std::string path = dir / "f";
  for (const char* action : {"create", "append", "sync", "close", "rename", "syncdir"}) {
    disk.SetFault(nullptr);
    ASSERT_TRUE(WriteAtomically(disk, path, "old").ok());
    disk.FailFrom(action, 0);
    Status status = WriteAtomically(disk, path, "something new");
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << action;
    const bool renamed = std::string_view(action) == "syncdir";
    EXPECT_EQ(ReadFile(RealDisk(), path).value(), renamed ? "something new" : "old") << action;
    EXPECT_FALSE(Exists(RealDisk(), path + ".tmp")) << action;
  }
}

TEST(DiskTest, AnAtomicWriteToADirectoryThatIsMissingSaysSo) {
  TempDir dir;
  EXPECT_EQ(WriteAtomically(RealDisk(), dir / "none/f", "x").code(), absl::StatusCode::kNotFound);
}

TEST(FileLockTest, OneHolderAtATime) {
  TempDir dir;
  auto lock = FileLock::Acquire(dir / "lock");
  ASSERT_TRUE(lock.ok()) << lock.status();
  Status second = FileLock::Acquire(dir / "lock").status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr(std::to_string(getpid())));
  lock->reset();
  EXPECT_TRUE(FileLock::Acquire(dir / "lock").ok());
}

TEST(FileLockTest, AFolderCanBeLockedAndNothingIsLeftInIt) {
  TempDir dir;
  auto lock = FileLock::Acquire(dir.path());
  ASSERT_TRUE(lock.ok()) << lock.status();
  Status second = FileLock::Acquire(dir.path()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr(std::to_string(getpid())));
  lock->reset();
  EXPECT_TRUE(FileLock::Acquire(dir.path()).ok());
  EXPECT_THAT(RealDisk().List(dir.path()).value(), ElementsAre());
}

TEST(FileLockTest, AProcessThatIsKilledLetsGo) {
  TempDir dir;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    auto lock = FileLock::Acquire(dir / "lock");
    char ok = lock.ok();
    if (write(ready[1], &ok, 1) == 1) pause();
    _exit(1);
  }
  char ok = 0;
  ASSERT_EQ(read(ready[0], &ok, 1), 1);
  ASSERT_TRUE(ok);
  EXPECT_FALSE(FileLock::Acquire(dir / "lock").ok());
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(FileLock::Acquire(dir / "lock").ok());
  close(ready[0]);
  close(ready[1]);
}

TEST(IoSequenceTest, RunsInTheOrderOfSubmissionOneAtATime) {
  IoSequence sequence(RealEnvironment().io);
  std::vector<int> order;  // unguarded: a race would show
  for (int i = 0; i < 1000; ++i) sequence.Submit([&order, i] { order.push_back(i); });
  sequence.Wait();
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[i], i);
}

TEST(IoSequenceTest, ManyThreadsMaySubmit) {
  std::atomic<int> ran = 0;
  int unguarded = 0;
  {
    IoSequence sequence(RealEnvironment().io);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 250; ++i) {
          sequence.Submit([&] {
            ++unguarded;
            ++ran;
          });
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(ran, 1000) << "the destructor waits";
  EXPECT_EQ(unguarded, 1000);
}

TEST(IoSequenceTest, WorkMaySubmitMoreAndIsGoneAfterWait) {
  std::promise<void> inner_ran;
  IoSequence sequence(RealEnvironment().io);
  auto owned = std::make_shared<int>(1);
  sequence.Submit([&, owned] { sequence.Submit([&] { inner_ran.set_value(); }); });
  sequence.Wait();
  EXPECT_EQ(owned.use_count(), 1) << "what the work owned is released";
  inner_ran.get_future().get();
}

TEST(IoPoolTest, TwoPiecesOfWorkRunAtOnce) {
  // Owned by the work too, which may still be on its way out when the test ends.
  struct Meeting {
    std::promise<void> first_runs, second_runs, first_has_met;
  };
  auto meeting = std::make_shared<Meeting>();
  RealEnvironment().io.Submit([meeting] {
    meeting->first_runs.set_value();
    meeting->second_runs.get_future().get();
    meeting->first_has_met.set_value();
  });
  meeting->first_runs.get_future().get();
  RealEnvironment().io.Submit([meeting] { meeting->second_runs.set_value(); });
  meeting->first_has_met.get_future().get();
}

TEST(ClockTest, MonotonicTimeDoesNotGoBack) {
  Clock& clock = RealEnvironment().clock;
  int64_t before = clock.MonotonicMicros();
  for (int i = 0; i < 1000; ++i) {
    int64_t now = clock.MonotonicMicros();
    ASSERT_GE(now, before);
    before = now;
  }
  EXPECT_GT(clock.Now(), Seconds(1'700'000'000));
}

TEST(RandomTest, NumbersDiffer) {
  EXPECT_NE(RealEnvironment().random.Next(), RealEnvironment().random.Next());
}

TEST(StatusTest, AnnotationKeepsTheCodeAndSaysWhere) {
  Status status = Annotate(absl::NotFoundError("no such field"), "line 3");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "line 3: no such field");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
  EXPECT_FALSE(IsRetryable(status));
  EXPECT_FALSE(IsRetryable(absl::OkStatus()));
  EXPECT_TRUE(IsRetryable(absl::ResourceExhaustedError("")));
}

}  // namespace
}  // namespace weir
