// Replays: a file source that begins at a position, or at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/operators/line_source_harness.h"
#include "tests/support/faulty_disk.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::EventLine;
using testing::FaultyDisk;
using testing::Gzip;
using ::testing::HasSubstr;
using testing::MemorySnapshots;
using testing::SourceRun;
using ::testing::UnorderedElementsAre;
using testing::WriteBytes;
using testing::Zstd;

class FileSourceReplayTest : public testing::FileSourceFixture {};

TEST_F(FileSourceReplayTest, FromAPositionOfAFileOfAnyKind) {
  std::string lines;
  std::vector<std::pair<uint64_t, std::string>> starts;
  for (int i = 0; i < 12; ++i) {
    starts.emplace_back(lines.size(), std::to_string(i * i * i));
    lines += EventLine(starts.back().second, i);
  }
  const std::vector<std::pair<std::string, std::string>> files = {
      {"b.jsonl", lines}, {"b.jsonl.gz", Gzip(lines)}, {"b.jsonl.zst", Zstd(lines)}};
  for (const auto& [name, bytes] : files) {
    std::filesystem::remove_all(dir_ / "in");
    WriteBytes(Path("a.jsonl"), EventLine("before", 0));
    WriteBytes(Path(name), bytes);
    WriteBytes(Path("c.jsonl"), EventLine("behind", 100));
    FileSourceOptions options = Options();
    options.split_range_bytes = 50;
    options.read_chunk_bytes = 7;
    options.batch_rows = 3;
    options.from_file = name;
    for (uint64_t offset = 0; offset <= lines.size() + 5; ++offset) {
      std::vector<std::string> want;
      for (const auto& [start, id] : starts) {
        if (start >= offset) want.push_back(id);
      }
      want.emplace_back("behind");
      options.from_offset = offset;
      // Stopped after some polls, and gone on with from a checkpoint.
      SourceRun before(options);
      ASSERT_TRUE(before.opened().ok()) << before.opened();
      for (uint64_t i = 0; i < offset % 5 && before.Poll(); ++i) {
      }
      MemorySnapshots store;
      SourceRun after(options, 0, 1, {before.Checkpoint(store)}, &store);
      ASSERT_TRUE(after.Drain().ok()) << after.failed();
      std::vector<std::string> ids = before.Ids();
      for (const std::string& id : after.Ids()) ids.push_back(id);
      ASSERT_THAT(ids, ::testing::UnorderedElementsAreArray(want)) << name << " at " << offset;
    }
  }
}

TEST_F(FileSourceReplayTest, AFileToStartFromMustBeThereAtTheFirstStart) {
  WriteBytes(Path("b.jsonl"), EventLine("b", 1));
  WriteBytes(Path("c.jsonl"), EventLine("c", 2));
  FileSourceOptions options = Options();
  options.from_file = "bb.jsonl";
  SourceRun none(options);
  EXPECT_EQ(none.opened().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.opened().message()),
              AllOf(HasSubstr("'bb.jsonl'"), HasSubstr(options.input)));

  options.from_file = "b.jsonl";
  options.batch_rows = 1;
  SourceRun before(options);
  EXPECT_TRUE(before.Poll());
  MemorySnapshots store;
  const std::vector<StateSnapshot> snapshots = {before.Checkpoint(store)};
  EXPECT_THAT(before.Ids(), ElementsAre("b"));
  std::filesystem::remove(Path("b.jsonl"));
  SourceRun after(options, 0, 1, snapshots, &store);
  ASSERT_TRUE(after.Drain().ok());
  EXPECT_THAT(after.Ids(), ElementsAre("c"));
}

TEST_F(FileSourceReplayTest, FromATime) {
  WriteBytes(Path("a.jsonl"), EventLine("1", 10) + "bad, and early\n" + EventLine("2", 19) +
                                  "{\"id\":\"no time, early\"}\n" + EventLine("3", 20) +
                                  "bad\n{\"id\":\"no time\"}\n" + EventLine("late", 18) +
                                  EventLine("4", 21));
  WriteBytes(Path("b.jsonl.gz"), Gzip(EventLine("5", 5) + EventLine("6", 25)));
  FileSourceOptions options = Options();
  options.from_time = Seconds(20);
  SourceRun run(options);
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.Ids(), UnorderedElementsAre("3", "no time", "4", "6"));
  ASSERT_EQ(run.out().rejected.size(), 1u);
  EXPECT_EQ(run.out().rejected[0].record, "bad");
  EXPECT_EQ(run.bed().counters.dropped, 6u);
  EXPECT_EQ(run.late(), 0);
}

TEST_F(FileSourceReplayTest, FilesThatAreTooOldForTheTimeAreNotOpened) {
  const Timestamp from = Seconds(1'700'000'000);
  const auto modified = [&](const std::string& name, Timestamp time) {
    WriteBytes(Path(name), EventLine(name, from / Seconds(1) + 1));
    const auto since = std::chrono::microseconds(time);
    std::filesystem::last_write_time(
        Path(name), std::chrono::file_clock::from_sys(std::chrono::sys_time(since)));
  };
  modified("old.jsonl", from - Hours(24) - Seconds(1));
  modified("just.jsonl", from - Hours(24));
  FaultyDisk disk(RealEnvironment().disk);
  disk.SetFault([](std::string_view, const std::string& path) -> Status {
    return path.ends_with("old.jsonl") ? absl::InternalError("opened") : absl::OkStatus();
  });
  FileSourceOptions options = Options();
  options.from_time = from;
  SourceRun run(options, 0, 1, {}, nullptr, &disk);
  ASSERT_TRUE(run.Drain().ok()) << run.failed();
  EXPECT_THAT(run.Ids(), ElementsAre("just.jsonl"));
}

}  // namespace
}  // namespace weir
