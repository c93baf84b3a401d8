// A file source that watches its folder: what comes is read, once, and only when it is complete.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operators/line_source_harness.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::EventLine;
using testing::Gzip;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemorySnapshots;
using testing::SourceRun;
using ::testing::UnorderedElementsAre;
using testing::WriteBytes;
using testing::Zstd;

class FileSourceWatchTest : public testing::FileSourceFixture {
 protected:
  void SetUp() override { std::filesystem::create_directories(dir_ / "in"); }
  FileSourceOptions Options() {
    FileSourceOptions options = FileSourceFixture::Options();
    options.watch = Seconds(10);
    return options;
  }
  // Two looks in a row.
  static void LookTwice(SourceRun& run) {
    run.PollUntilIdle();
    run.PollUntilIdle();
    run.PollUntilIdle();
  }
  static std::string Failure(SourceRun& run) {
    LookTwice(run);
    EXPECT_EQ(run.failed().code(), absl::StatusCode::kFailedPrecondition) << run.failed();
    return std::string(run.failed().message());
  }
};

TEST_F(FileSourceWatchTest, ReadsWhatComesAndDoesNotEnd) {
  SourceRun run(Options());
  ASSERT_TRUE(run.opened().ok()) << run.opened();
  for (int i = 0; i < 3; ++i) run.PollUntilIdle();
  EXPECT_THAT(run.Ids(), IsEmpty());
  EXPECT_TRUE(run.source().idle());
  WriteBytes(Path("a.jsonl"), EventLine("a", 10));
  WriteBytes(Path("sub/b.jsonl.gz"), Gzip(EventLine("b", 20)));
  LookTwice(run);
  EXPECT_THAT(run.Ids(), ElementsAre("a", "b"));
  WriteBytes(Path("sub/c.jsonl.zst"), Zstd(EventLine("c", 30) + EventLine("d", 31)));
  LookTwice(run);
  EXPECT_THAT(run.Ids(), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(run.last().kind, PollResult::kIdle);
  EXPECT_EQ(run.source().watermark(), Seconds(31) - 1);
  EXPECT_EQ(run.source().progress().total_bytes, 0u);
  EXPECT_EQ(run.late(), 0);
}

TEST_F(FileSourceWatchTest, AFileIsTakenWhenTwoLooksInARowFindItTheSame) {
  SourceRun run(Options());
  run.PollUntilIdle();
  std::string bytes = EventLine("0", 0);
  for (int i = 1; i < 5; ++i) {  // it grows from look to look
    WriteBytes(Path("a.jsonl"), bytes.substr(0, bytes.size() - 3));
    bytes += EventLine(std::to_string(i), i);
    run.PollUntilIdle();
    EXPECT_THAT(run.Ids(), IsEmpty());
  }
  WriteBytes(Path("a.jsonl"), bytes);
  run.PollUntilIdle();
  EXPECT_THAT(run.Ids(), IsEmpty());
  run.PollUntilIdle();
  EXPECT_THAT(run.Ids(), ElementsAre("0", "1", "2", "3", "4"));
  EXPECT_THAT(run.out().rejected, IsEmpty());
}

TEST_F(FileSourceWatchTest, NamesThatDoNotCountAreLeftAloneUntilTheyAreRenamed) {
  SourceRun run(Options());
  WriteBytes(Path(".a.jsonl"), EventLine("a", 1));
  WriteBytes(Path("b.jsonl.tmp"), EventLine("b", 2));
  for (int i = 0; i < 4; ++i) run.PollUntilIdle();
  EXPECT_THAT(run.Ids(), IsEmpty());
  std::filesystem::rename(Path(".a.jsonl"), Path("a.jsonl"));
  std::filesystem::rename(Path("b.jsonl.tmp"), Path("b.jsonl"));
  LookTwice(run);
  EXPECT_THAT(run.Ids(), ElementsAre("a", "b"));
}

TEST_F(FileSourceWatchTest, AFileThatWasReadMayGoAndItsNameComesAsNew) {
  SourceRun run(Options());
  for (const char* id : {"first", "second", "third"}) {
    WriteBytes(Path("a.jsonl"), EventLine(id, 1));
    LookTwice(run);
    std::filesystem::remove(Path("a.jsonl"));
    LookTwice(run);
    ASSERT_TRUE(run.failed().ok()) << run.failed();
    // Nothing is left of it: a run from here has no file, and reads the name anew.
    MemorySnapshots store;
    SourceRun after(Options(), 0, 1, {run.Checkpoint(store)}, &store);
    ASSERT_TRUE(after.opened().ok()) << after.opened();
    WriteBytes(Path("a.jsonl"), EventLine("other", 1));
    LookTwice(after);
    EXPECT_THAT(after.Ids(), ElementsAre("other"));
    std::filesystem::remove(Path("a.jsonl"));
  }
  EXPECT_THAT(run.Ids(), ElementsAre("first", "second", "third"));
}

TEST_F(FileSourceWatchTest, AFileThatChangesAfterItWasTakenFailsTheJob) {
  for (const char* how : {"bytes and has", "it was last modified at"}) {
    std::filesystem::remove_all(dir_ / "in");
    WriteBytes(Path("a.jsonl"), EventLine("a", 1));
    SourceRun run(Options());
    LookTwice(run);
    EXPECT_THAT(run.Ids(), ElementsAre("a"));
    const auto time = std::filesystem::last_write_time(Path("a.jsonl"));
    if (std::string_view(how).starts_with("bytes")) {
      WriteBytes(Path("a.jsonl"), EventLine("a", 1) + EventLine("more", 1));
    } else {
      std::filesystem::last_write_time(Path("a.jsonl"), time + std::chrono::seconds(5));
    }
    EXPECT_THAT(Failure(run), AllOf(HasSubstr(Path("a.jsonl")), HasSubstr(how)));
  }
}

TEST_F(FileSourceWatchTest, AFileThatGoesWhileItIsReadFailsTheJob) {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += EventLine(std::to_string(i), i);
  WriteBytes(Path("a.jsonl"), lines);
  FileSourceOptions options = Options();
  options.batch_rows = 10;
  SourceRun run(options);
  run.PollUntilIdle();
  while (run.Ids().empty()) ASSERT_TRUE(run.Poll());
  std::filesystem::remove(Path("a.jsonl"));
  EXPECT_THAT(Failure(run), AllOf(HasSubstr(Path("a.jsonl")), HasSubstr("it is gone")));
}

TEST_F(FileSourceWatchTest, ARestartGoesOnAndReadsWhatCameMeanwhile) {
  std::string lines;
  std::vector<std::string> ids;
  for (int i = 0; i < 50; ++i) {
    ids.push_back(std::to_string(i));
    lines += EventLine(ids.back(), i);
  }
  WriteBytes(Path("a.jsonl.gz"), Gzip(lines));
  WriteBytes(Path("b.jsonl"), EventLine("b", 0));
  FileSourceOptions options = Options();
  options.batch_rows = 10;
  SourceRun before(options);
  before.PollUntilIdle();
  while (before.Ids().size() < 21) ASSERT_TRUE(before.Poll());
  MemorySnapshots store;
  std::vector<std::string> found = before.Ids();
  const std::vector<StateSnapshot> snapshots = {before.Checkpoint(store)};

  std::filesystem::remove(Path("b.jsonl"));  // it has been read
  WriteBytes(Path("c.jsonl"), EventLine("c", 60));
  SourceRun after(options, 0, 1, snapshots, &store);
  ASSERT_TRUE(after.opened().ok()) << after.opened();
  EXPECT_FALSE(after.source().idle());  // what is in the state needs no look
  LookTwice(after);
  for (const std::string& id : after.Ids()) found.push_back(id);
  ids.insert(ids.end(), {"b", "c"});
  std::sort(ids.begin(), ids.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, ids);
}

TEST_F(FileSourceWatchTest, EachFileBelongsToOneSubtaskAtAnyParallelism) {
  constexpr size_t kFiles = 2'500;  // more than are compared at once
  std::vector<std::unique_ptr<SourceRun>> runs;
  FileSourceOptions options = Options();
  options.open_splits_max = 16;
  for (int subtask = 0; subtask < 3; ++subtask) {
    runs.push_back(std::make_unique<SourceRun>(options, subtask, 3));
    runs.back()->PollUntilIdle();
  }
  for (size_t i = 0; i < kFiles; ++i) {
    WriteBytes(Path(fmt::format("{}.jsonl", i)), EventLine(std::to_string(i), i));
  }
  std::vector<std::string> found;
  std::vector<StateSnapshot> snapshots;
  MemorySnapshots store;
  for (auto& run : runs) {
    LookTwice(*run);
    ASSERT_TRUE(run->failed().ok()) << run->failed();
    EXPECT_FALSE(run->Ids().empty());
    for (const std::string& id : run->Ids()) found.push_back(id);
    snapshots.push_back(run->Checkpoint(store));
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(std::unique(found.begin(), found.end()), found.end());
  EXPECT_EQ(found.size(), kFiles);
  for (int subtask = 0; subtask < 2; ++subtask) {
    SourceRun after(options, subtask, 2, snapshots, &store);
    LookTwice(after);
    EXPECT_THAT(after.Ids(), IsEmpty());
  }
}

TEST_F(FileSourceWatchTest, ALookThatTakesLongIsNotAskedForAllTheTime) {
  struct BusyPool final : IoPool {
    void Submit(std::function<void()>) override {}
  } io;
  const Environment& real = RealEnvironment();
  Environment env{real.clock, real.disk, io, real.random};
  FolderWatch watch(
      env, dir_ / "in", Seconds(10), [](const InputFile&) { return true; }, [] {});
  std::vector<FolderWatch::Change> changes;
  for (const int64_t now : {Seconds(0), Seconds(9), Seconds(10), Hours(1)}) {
    ASSERT_TRUE(watch.Poll(now, changes).ok());
    EXPECT_GE(watch.next_poll(), now + Seconds(1)) << now;
  }
}

TEST_F(FileSourceWatchTest, OnlyAFolderCanBeWatched) {
  WriteBytes(Path("a.jsonl"), "");
  FileSourceOptions options = Options();
  options.input = Path("a.jsonl");
  EXPECT_THAT(std::string(CheckFileSource(options, RealEnvironment()).message()),
              HasSubstr("only a folder can be watched"));
  options.input = Path("none");
  EXPECT_THAT(std::string(CheckFileSource(options, RealEnvironment()).message()),
              HasSubstr("there is no file or folder"));
  std::filesystem::remove(Path("a.jsonl"));
  EXPECT_TRUE(CheckFileSource(Options(), RealEnvironment()).ok());
}

}  // namespace
}  // namespace weir
