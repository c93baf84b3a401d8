// What a file source reads, in which order, and how it goes on after a restart. What it does with
// bad input is in file_source_faults_test.cc.
#include "operators/sources/file_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/operators/line_source_harness.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using testing::EventLine;
using testing::Gzip;
using ::testing::IsEmpty;
using testing::MemorySnapshots;
using testing::SourceRun;
using ::testing::UnorderedElementsAre;
using testing::WriteBytes;
using testing::Zstd;

std::vector<std::string> Sorted(std::vector<std::string> all) {
  std::sort(all.begin(), all.end());
  return all;
}

class FileSourceTest : public testing::FileSourceFixture {};

TEST_F(FileSourceTest, ReadsTheLinesOfAFolderWhateverItsFilesAre) {
  WriteBytes(Path("a.jsonl"), EventLine("a1", 1) + "\n" + EventLine("a2", 2));
  WriteBytes(Path("sub/deep/b.jsonl.gz"), Gzip(EventLine("b1", 1)) + Gzip(EventLine("b2", 2)));
  WriteBytes(Path("sub/c.jsonl.zst"), Zstd(EventLine("c1", 1)) + Zstd(R"({"id":"c2","t":2})"));
  WriteBytes(Path("empty.jsonl"), "");
  WriteBytes(Path("empty.jsonl.gz"), Gzip(""));
  WriteBytes(Path("nothing.jsonl.zst"), "");
  WriteBytes(Path("blank.jsonl"), "\n \n\r\n");
  WriteBytes(Path(".hidden.jsonl"), EventLine("x", 1));
  WriteBytes(Path(".hidden/d.jsonl"), EventLine("x", 1));
  WriteBytes(Path("readme.txt"), "not for me");
  WriteBytes(Path("jsonl"), "nor this");
  WriteBytes(Path(".jsonl"), "nor this");
  SourceRun run(Options());
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.Ids(), UnorderedElementsAre("a1", "a2", "b1", "b2", "c1", "c2"));
  EXPECT_THAT(run.out().rejected, IsEmpty());
  EXPECT_FALSE(run.source().idle());
  const SourceProgress progress = run.source().progress();
  EXPECT_GT(progress.total_bytes, 0u);
  EXPECT_EQ(progress.done_bytes, progress.total_bytes);
}

TEST_F(FileSourceTest, ReadsASingleFileOfAnyName) {
  WriteBytes(Path("events.log"), EventLine("1", 1));
  WriteBytes(Path("dump.gz"), Gzip(EventLine("2", 1)));
  WriteBytes(Path(".x.zst"), Zstd(EventLine("3", 1)));
  std::vector<std::string> ids;
  for (const char* name : {"events.log", "dump.gz", ".x.zst"}) {
    FileSourceOptions options;
    options.input = Path(name);
    SourceRun run(options);
    ASSERT_TRUE(run.Drain().ok());
    for (const std::string& id : run.Ids()) ids.push_back(id);
  }
  EXPECT_THAT(ids, ElementsAre("1", "2", "3"));
}

TEST_F(FileSourceTest, KeepsThePayloadByteForByte) {
  const std::string first = "{\"id\" : \"1\", \"s\":\"\\u00e9\xc3\xa9\"}\r", second = "{\"id\":2} ";
  WriteBytes(Path("a.jsonl"), first + "\n" + second);
  SourceRun run(Options());
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.Payloads(), ElementsAre(first, second));
}

TEST_F(FileSourceTest, ReadsFilesThatOverlapInTheOrderOfTime) {
  // Three collectors, each in order, with many equal times and each file in another format.
  std::vector<std::string> files(3);
  std::mt19937_64 random(5);
  for (int second = 1; second <= 3'000; ++second) {
    files[random() % 3] += EventLine(std::to_string(second), second / 4);
  }
  WriteBytes(Path("a.jsonl"), files[0]);
  WriteBytes(Path("b.jsonl.gz"), Gzip(files[1]));
  WriteBytes(Path("c.jsonl.zst"), Zstd(files[2]));
  FileSourceOptions options = Options();
  options.batch_rows = 16;
  options.split_range_bytes = 10'000;  // the ranges of one file follow each other in time
  SourceRun run(options);
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_EQ(run.Ids().size(), 3'000u);
  EXPECT_EQ(run.late(), 0);
  EXPECT_GT(run.source().watermark(), Seconds(700));
  // Behind the first line of each split, batches follow each other in time, give or take a batch.
  Timestamp highest = 0;
  Timestamp furthest_back = 0;
  const auto times = run.out().Rows<Event>();
  for (size_t i = 100; i < times.size(); ++i) {
    highest = std::max(highest, times[i].time);
    furthest_back = std::max(furthest_back, highest - times[i].time);
  }
  EXPECT_LT(furthest_back, Seconds(100));
}

TEST_F(FileSourceTest, HasNoWatermarkBeforeEverySplitHasATime) {
  WriteBytes(Path("a.jsonl"), EventLine("a", 100) + EventLine("a", 200));
  std::string no_times;
  for (int i = 0; i < 498; ++i) no_times += "{\"id\":\"b\",\"t\":\"never\"}\n";
  WriteBytes(Path("b.jsonl"), no_times + EventLine("b", 50) + EventLine("b", 150));
  FileSourceOptions options = Options();
  options.batch_rows = 10;  // of b, the first line, then 50 batches up to the line with the time 50
  SourceRun run(options);
  int without = 0;
  while (run.Poll() && run.source().watermark() == kMinTimestamp) ++without;
  EXPECT_GE(without, 49);
  EXPECT_EQ(run.source().watermark(), Seconds(50) - 1);
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_EQ(run.bed().counters.unusable_times, 498u);
  EXPECT_EQ(run.late(), 0);
}

TEST_F(FileSourceTest, ReadsFilesOneAfterTheOtherWithoutEventTime) {
  std::string a, b;
  for (int i = 0; i < 100; ++i) a += EventLine("a", 1), b += EventLine("b", 1);
  WriteBytes(Path("a.jsonl"), a);
  WriteBytes(Path("b.jsonl.gz"), Gzip(b));
  FileSourceOptions options = Options();
  options.batch_rows = 7;
  SourceRun run(options, 0, 1, {}, nullptr, nullptr, {{}, "", "", "", ""});
  EXPECT_TRUE(run.Poll());
  EXPECT_EQ(run.out().Rows<Event>()[0].time, run.bed().clock.now);
  EXPECT_EQ(run.source().watermark(), run.bed().clock.now - 1);
  ASSERT_TRUE(run.Drain().ok());
  const auto payloads = run.Payloads();
  EXPECT_EQ(payloads.size(), 200u);
  EXPECT_TRUE(std::is_sorted(payloads.begin(), payloads.end()));
  EXPECT_EQ(run.bed().counters.unusable_times, 0u);
}

// A disk that counts the files that are open.
class CountingDisk final : public Disk {
 public:
  StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    WEIR_ASSIGN_OR_RETURN(auto file, disk_.OpenForRead(path));
    highest = std::max(highest, ++open);
    ++opened;
    return std::make_unique<File>(*this, std::move(file));
  }
  StatusOr<FileInfo> Stat(const std::string& path) override { return disk_.Stat(path); }
  StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    return disk_.List(directory);
  }
  StatusOr<std::unique_ptr<WritableFile>> Create(const std::string&) override { return Refuse(); }
  StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string&, uint64_t) override {
    return Refuse();
  }
  Status MakeDirectories(const std::string&) override { return Refuse(); }
  Status Rename(const std::string&, const std::string&) override { return Refuse(); }
  Status HardLink(const std::string&, const std::string&) override { return Refuse(); }
  Status Remove(const std::string&) override { return Refuse(); }
  Status RemoveTree(const std::string&) override { return Refuse(); }
  Status SyncFile(const std::string&) override { return Refuse(); }
  StatusOr<std::string> Canonical(const std::string& path) override {
    return disk_.Canonical(path);
  }
  Status SyncDirectory(const std::string&) override { return Refuse(); }
  StatusOr<std::unique_ptr<FileSystem>> OpenFileSystem(const std::string&) override {
    return Refuse();
  }

  int open = 0;
  int highest = 0;
  int opened = 0;

 private:
  struct File final : ReadableFile {
    File(CountingDisk& d, std::unique_ptr<ReadableFile> f) : disk(d), file(std::move(f)) {}
    ~File() override { --disk.open; }
    StatusOr<size_t> ReadAt(uint64_t offset, char* buffer, size_t n) override {
      return file->ReadAt(offset, buffer, n);
    }
    CountingDisk& disk;
    const std::unique_ptr<ReadableFile> file;
  };
  static Status Refuse() { return absl::UnimplementedError("a source does not write"); }

  Disk& disk_ = RealEnvironment().disk;
};

TEST_F(FileSourceTest, HoldsNoMoreFilesOpenThanAllowed) {
  constexpr int kFiles = 30, kLines = 40;
  std::vector<std::string> want;
  for (int file = 0; file < kFiles; ++file) {
    std::string lines;
    for (int i = 0; i < kLines; ++i) {
      want.push_back(fmt::format("{}-{}", file, i));
      lines += EventLine(want.back(), 100 * i + file);
    }
    WriteBytes(Path(fmt::format("{}.jsonl{}", file, file % 2 ? ".gz" : "")),
               file % 2 ? Gzip(lines) : lines);
  }
  FileSourceOptions options = Options();
  options.batch_rows = 3;
  options.open_splits_max = 5;
  CountingDisk disk;
  SourceRun run(options, 0, 1, {}, nullptr, &disk);
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_EQ(Sorted(run.Ids()), Sorted(want));
  EXPECT_EQ(run.late(), 0);
  EXPECT_LE(disk.highest, 6);  // one beside them, to look at a file's head
  EXPECT_EQ(disk.open, 0);
  EXPECT_LT(disk.opened, 5 * kFiles);
}

TEST_F(FileSourceTest, DealsEveryLineToOneSubtask) {
  std::vector<std::string> want;
  for (int file = 0; file < 6; ++file) {
    std::string lines;
    for (int i = 0; i < 300; ++i) {
      want.push_back(fmt::format("{}-{}", file, i));
      lines += EventLine(want.back(), i);
    }
    WriteBytes(Path(fmt::format("d{}/x.jsonl{}", file, file % 2 ? ".zst" : "")),
               file % 2 ? Zstd(lines) : lines);
  }
  for (uint64_t range : {1'000, 77, 10'000'000}) {
    for (int parallelism : {1, 2, 3, 16}) {
      FileSourceOptions options = Options();
      options.split_range_bytes = range;
      options.read_chunk_bytes = 500;
      std::vector<std::string> got;
      for (int subtask = 0; subtask < parallelism; ++subtask) {
        SourceRun run(options, subtask, parallelism);
        ASSERT_TRUE(run.Drain().ok());
        EXPECT_THAT(run.out().rejected, IsEmpty());
        for (std::string& id : run.Ids()) got.push_back(std::move(id));
        EXPECT_EQ(run.source().idle(), run.source().progress().total_bytes == 0);
      }
      ASSERT_EQ(Sorted(got), Sorted(want)) << range << " " << parallelism;
    }
  }
}

TEST_F(FileSourceTest, GoesOnExactlyWhereACheckpointWasAtAnyParallelism) {
  std::vector<std::string> want;
  int64_t bad = 0;
  for (int file = 0; file < 5; ++file) {
    std::string lines;
    for (int i = 0; i < 400; ++i) {
      if (i % 50 == 7) {
        lines += "broken\n";
        ++bad;
      }
      if (i % 90 == 8) {
        lines += std::string(2'000, 'x') + "\n";
        ++bad;
      }
      want.push_back(fmt::format("{}-{}", file, i));
      lines += EventLine(want.back(), i * 5 + file);
    }
    const bool plain = file % 3 == 0;
    WriteBytes(Path(fmt::format("{}.jsonl{}", file,
                                plain           ? ""
                                : file % 3 == 1 ? ".zst"
                                                : ".gz")),
               plain           ? lines
               : file % 3 == 1 ? Zstd(lines)
                               : Gzip(lines));
  }
  FileSourceOptions options = Options();
  options.batch_rows = 13;
  options.split_range_bytes = 700;
  options.read_chunk_bytes = 300;
  options.line_bytes_max = 1'000;
  options.open_splits_max = 4;
  std::mt19937_64 random(9);
  for (int round = 0; round < 10; ++round) {
    // Several runs follow each other, each with another parallelism, from the checkpoint before.
    MemorySnapshots store;
    std::vector<StateSnapshot> snapshots;
    std::vector<std::string> got;
    int64_t rejected = 0;
    bool finished = false;
    for (int attempt = 0; !finished; ++attempt) {
      const int parallelism = 1 + static_cast<int>(random() % 4);
      finished = attempt == 6;
      std::vector<StateSnapshot> next;
      for (int subtask = 0; subtask < parallelism; ++subtask) {
        SourceRun run(options, subtask, parallelism, snapshots, &store);
        ASSERT_TRUE(run.opened().ok()) << run.opened();
        if (finished) {
          const Status drained = run.Drain();
          ASSERT_TRUE(drained.ok()) << drained;
          EXPECT_EQ(run.source().progress().done_bytes, run.source().progress().total_bytes);
        } else {
          for (uint64_t polls = random() % 20; polls > 0 && run.Poll(); --polls) {
          }
        }
        next.push_back(run.Checkpoint(store));
        rejected += static_cast<int64_t>(run.out().rejected.size());
        for (std::string& id : run.Ids()) got.push_back(std::move(id));
        // What it would have read behind the checkpoint belongs to no one.
        run.Poll();
      }
      snapshots = std::move(next);
    }
    ASSERT_EQ(Sorted(got), Sorted(want)) << "round " << round;
    ASSERT_EQ(rejected, bad);
  }
}

TEST_F(FileSourceTest, KnowsTheTimesOfItsSplitsAfterARestart) {
  WriteBytes(Path("a.jsonl"), EventLine("a", 100) + EventLine("a", 300) + "{\"id\":\"a\"}\n");
  WriteBytes(Path("b.jsonl"), EventLine("b", 200) + EventLine("b", 400));
  FileSourceOptions options = Options();
  options.batch_rows = 2;  // the first line of each file
  MemorySnapshots store;
  SourceRun before(options);
  EXPECT_TRUE(before.Poll());
  EXPECT_EQ(before.source().watermark(), Seconds(100) - 1);
  SourceRun after(options, 0, 1, {before.Checkpoint(store)}, &store);
  EXPECT_EQ(after.source().watermark(), Seconds(100) - 1);
  ASSERT_TRUE(after.Drain().ok());
  // The last good time of a.jsonl is known too.
  std::vector<Timestamp> times;
  for (const Event& event : after.out().Rows<Event>()) times.push_back(event.time);
  EXPECT_THAT(times, ElementsAre(Seconds(300), Seconds(300), Seconds(400)));
}

TEST_F(FileSourceTest, ReadsNewFilesAfterARestartAndMissesNoneThatItHasFinished) {
  WriteBytes(Path("a.jsonl"), EventLine("a", 1));
  MemorySnapshots store;
  SourceRun before(Options());
  ASSERT_TRUE(before.Drain().ok());
  const StateSnapshot snapshot = before.Checkpoint(store);
  std::filesystem::rename(Path("a.jsonl"), Path("a.done"));
  WriteBytes(Path("b.jsonl"), EventLine("b", 2));
  SourceRun after(Options(), 0, 1, {snapshot}, &store);
  ASSERT_TRUE(after.Drain().ok());
  EXPECT_THAT(after.Ids(), ElementsAre("b"));
}

TEST_F(FileSourceTest, ReadsAtTheRateThatIsAskedFor) {
  std::string lines;
  for (int i = 0; i < 5'000; ++i) lines += EventLine(std::to_string(i), i);
  for (int file = 0; file < 20; ++file) WriteBytes(Path(fmt::format("{}.jsonl", file)), lines);
  FileSourceOptions options = Options();
  options.rate = 1'000;
  size_t rows = 0;
  constexpr int kSubtasks = 3;
  for (int subtask = 0; subtask < kSubtasks; ++subtask) {
    SourceRun run(options, subtask, kSubtasks);
    ASSERT_TRUE(run.opened().ok());
    const Timestamp start = run.bed().clock.now;
    int polls = 0;
    while (run.bed().clock.now < start + Seconds(10)) {
      ASSERT_TRUE(run.Poll());
      ++polls;
      if (run.last().kind == PollResult::kIdle) {
        ASSERT_GT(run.last().next_poll, run.bed().clock.now);
        ASSERT_LT(run.last().next_poll, run.bed().clock.now + Seconds(1));
        run.bed().clock.now = run.last().next_poll;
      }
    }
    EXPECT_LT(polls, 6'000);
    rows += run.out().Rows<Event>().size();
    // It does not make up for a pause.
    run.bed().clock.now += Seconds(1'000);
    run.out().Clear();
    while (run.Poll() && run.last().kind != PollResult::kIdle) {
    }
    EXPECT_LE(run.out().Rows<Event>().size(), 100u);
  }
  EXPECT_NEAR(static_cast<double>(rows), 10'000, 300);
}

TEST_F(FileSourceTest, ReadsSlowerThanOneEventASecond) {
  WriteBytes(Path("a.jsonl"), EventLine("a", 1) + EventLine("b", 2) + EventLine("c", 3));
  FileSourceOptions options = Options();
  options.rate = 0.5;
  SourceRun run(options);
  const Timestamp start = run.bed().clock.now;
  while (run.Poll()) {
    if (run.last().kind == PollResult::kIdle) run.bed().clock.now = run.last().next_poll;
  }
  EXPECT_THAT(run.Ids(), ElementsAre("a", "b", "c"));
  EXPECT_NEAR(static_cast<double>(run.bed().clock.now - start), Seconds(4), 100);
}

TEST_F(FileSourceTest, EndsABatchAtAMegabyte) {
  std::string lines;
  for (int i = 0; i < 100; ++i) {
    lines += fmt::format("{{\"id\":{},\"t\":{},\"x\":\"{}\"}}\n", i, i, std::string(100'000, 'x'));
  }
  WriteBytes(Path("a.jsonl"), lines);
  SourceRun run(Options());
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_EQ(run.Ids().size(), 100u);
  for (size_t rows : run.out().Sizes()) EXPECT_LE(rows, 15u);
}

}  // namespace
}  // namespace weir
