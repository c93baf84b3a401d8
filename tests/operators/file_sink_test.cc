#include "operators/sinks/file_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "testing/temp_dir.h"
#include "tests/operators/file_sink_harness.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr auto kOk = absl::StatusCode::kOk;

TEST(FileSink, WritesEachPartitionIntoItsFolderOnceCommitted) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}, {"b", "2"}, {"a", "3"}}).ok());
  const auto handles = sink.Checkpoint(5);
  ASSERT_TRUE(handles.ok()) << handles.status();
  EXPECT_EQ(handles->size(), 2u);
  EXPECT_THAT(Committed(dir / "out"), IsEmpty());
  for (const std::string& handle : *handles) ASSERT_EQ(sink->Commit(handle).code(), kOk);
  EXPECT_THAT(Committed(dir / "out"),
              ElementsAre(Pair("a", ElementsAre("1", "3")), Pair("b", ElementsAre("2"))));
  EXPECT_THAT(FilesBelow(dir / "out"),
              ElementsAre(::testing::MatchesRegex("a/part-job-1.sink.s0.a1.c5.[01].jsonl.zst"),
                          ::testing::MatchesRegex("b/part-job-1.sink.s0.a1.c5.[01].jsonl.zst")));
}

TEST(FileSink, WritesIntoTheDirectoryItselfWithoutPartitions) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .by_partition = false}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"../../etc", "1"}, {"", "2"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_THAT(Committed(dir / "out"), ElementsAre(Pair("", ElementsAre("1", "2"))));
  EXPECT_THAT(sink.out().rejected, IsEmpty());
}

TEST(FileSink, FreezesNothingWhereNothingWasWritten) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  EXPECT_EQ(sink->Freeze(1), nullptr);
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  EXPECT_NE(sink->Freeze(2), nullptr);
  EXPECT_EQ(sink->Freeze(3), nullptr);
  ASSERT_TRUE(sink.Write({{"/", "1"}}).ok());
  EXPECT_EQ(sink->Freeze(4), nullptr) << "a rejected row leaves nothing behind";
}

TEST(FileSink, LinesComeBackByteForByteInOrderAcrossManyBlocks) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .block_bytes = 1000}, TestEnvironment());
  std::vector<std::string> expected;
  for (int b = 0; b < 50; ++b) {
    std::vector<RoutedLine> lines;
    for (int i = 0; i < 100; ++i) {
      expected.push_back(std::to_string(b * 100 + i) + std::string(1, '\xff') +
                         std::string(1, '\0'));
      lines.emplace_back("a", expected.back());
    }
    ASSERT_TRUE(sink.Write(lines).ok());
  }
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  const auto files = FilesBelow(dir / "out");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(Lines(Decompress(dir / "out" + "/" + files[0])), expected);
}

TEST(FileSink, TakesALineThatIsLargerThanABlock) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .block_bytes = 1 << 10}, TestEnvironment());
  const std::string huge(20 << 20, 'x');
  ASSERT_TRUE(sink.Write({{"a", "before"}, {"a", huge}, {"a", "behind"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_THAT(Committed(dir / "out")["a"], ElementsAre("before", "behind", huge));
}

TEST(FileSink, RejectsLabelsThatWouldLeaveTheFolder) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  const std::vector<std::string> bad = {"..",
                                        "../x",
                                        "a/b",
                                        "/etc",
                                        ".pending",
                                        ".hidden",
                                        "",
                                        "a b",
                                        "\xff",
                                        std::string(101, 'a'),
                                        std::string("a\0b", 3)};
  std::vector<RoutedLine> lines;
  for (const std::string& label : bad) lines.emplace_back(label, "payload of " + label);
  lines.emplace_back(std::string(100, 'a'), "good");
  ASSERT_TRUE(sink.Write(lines).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  ASSERT_EQ(sink.out().rejected.size(), bad.size());
  EXPECT_EQ(sink.out().rejected[1].record, "payload of ../x");
  EXPECT_EQ(sink.out().rejected[1].time, 7);
  EXPECT_THAT(sink.out().rejected[1].error, HasSubstr("'../x' cannot name a folder"));
  EXPECT_THAT(Committed(dir / "out"),
              ElementsAre(Pair(std::string(100, 'a'), ElementsAre("good"))));
  EXPECT_EQ(FilesBelow(dir.path()).size(), 1u);
}

TEST(FileSink, RejectsAPayloadThatWouldBeTwoLines) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "{\n}"}, {"a", "{}"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_THAT(Committed(dir / "out")["a"], ElementsAre("{}"));
  ASSERT_EQ(sink.out().rejected.size(), 1u);
  EXPECT_THAT(sink.out().rejected[0].error, HasSubstr("line feed"));
}

TEST(FileSink, RejectsOneRouteTooMany) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .partitions_max = 2}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}, {"b", "2"}, {"c", "3"}, {"a", "4"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_THAT(Committed(dir / "out"),
              ElementsAre(Pair("a", ElementsAre("1", "4")), Pair("b", ElementsAre("2"))));
  ASSERT_EQ(sink.out().rejected.size(), 1u);
  EXPECT_THAT(sink.out().rejected[0].error, HasSubstr("'c'"));
}

TEST(FileSink, ManyPartitionsStayWithinTheLimitsOfMemoryAndOpenFiles) {
  TempDir dir;
  FileSinkOptions options{.directory = dir / "out"};
  options.block_bytes = 4 << 10;
  options.buffered_bytes_max = 32 << 10;
  options.open_parts_max = 3;
  SinkInstance sink(options, TestEnvironment());
  std::map<std::string, std::vector<std::string>> expected;
  for (int round = 0; round < 10; ++round) {
    std::vector<RoutedLine> lines;
    for (int p = 0; p < 30; ++p) {
      const std::string label = "p" + std::to_string(p);
      lines.emplace_back(label, std::to_string(1000 + round) + std::string(20 * p, '.'));
      expected[label].push_back(lines.back().second);
    }
    ASSERT_TRUE(sink.Write(lines).ok());
  }
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_EQ(Committed(dir / "out"), expected);
}

TEST(FileSink, OneFileAPartitionHoweverOftenItHadToBeClosed) {
  TempDir dir;
  FileSinkOptions options{.directory = dir / "out"};
  options.block_bytes = 50;
  options.open_parts_max = 2;
  SinkInstance sink(options, TestEnvironment());
  for (int round = 0; round < 20; ++round) {
    for (const char* label : {"a", "b", "c", "d", "e"}) {
      ASSERT_TRUE(sink.Write({{label, std::to_string(1000 + round) + std::string(40, '.')}}).ok());
    }
  }
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_EQ(FilesBelow(dir / "out").size(), 5u);
  for (const auto& [label, lines] : Committed(dir / "out")) EXPECT_EQ(lines.size(), 20u) << label;
}

TEST(FileSink, BlocksThatAreTooManyForTheMemoryAreForgottenAndNoRowIsRejected) {
  TempDir dir;
  FileSinkOptions options{.directory = dir / "out"};
  options.buffered_bytes_max = 8 << 10;  // room for some ten blocks
  options.partitions_max = 60;
  SinkInstance sink(options, TestEnvironment());
  for (int round = 0; round < 5; ++round) {
    for (int p = 0; p < 60; ++p) {
      ASSERT_TRUE(sink.Write({{"p" + std::to_string(p), std::to_string(round)}}).ok());
    }
  }
  EXPECT_TRUE(sink.out().rejected.empty()) << "each partition counts once";
  ASSERT_TRUE(sink.Write({{"one-more", "1"}}).ok());
  EXPECT_EQ(sink.out().rejected.size(), 1u);
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_EQ(FilesBelow(dir / "out").size(), 60u);
  for (const auto& [label, lines] : Committed(dir / "out")) EXPECT_EQ(lines.size(), 5u) << label;
}

TEST(FileSink, EventsGoToTheFolderOfTheirTime) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .time_partition = "hourly"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}, {"b", "2"}}, -1).ok());
  ASSERT_TRUE(sink.Write({{"a", "3"}}, 0).ok());
  ASSERT_TRUE(sink.Write({{"a", "4"}}, Hours(1)).ok());
  ASSERT_TRUE(sink.Write({{"a", "5"}}, Hours(1) - 1).ok());
  ASSERT_TRUE(sink.Write({{"a", "6"}}, *ParseRfc3339("2300-01-01T00:00:00Z")).ok());
  ASSERT_TRUE(sink.Write({{"a", "never"}}, kMaxTimestamp).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_THAT(Committed(dir / "out"),
              ElementsAre(Pair("a/date=1969-12-31/hour=23", ElementsAre("1")),
                          Pair("a/date=1970-01-01/hour=00", ElementsAre("3", "5")),
                          Pair("a/date=1970-01-01/hour=01", ElementsAre("4")),
                          Pair("a/date=2300-01-01/hour=00", ElementsAre("6")),
                          Pair("b/date=1969-12-31/hour=23", ElementsAre("2"))));
  ASSERT_EQ(sink.out().rejected.size(), 1u);
  EXPECT_THAT(sink.out().rejected[0].error, HasSubstr("year of four digits"));
}

TEST(FileSink, FoldersOfTimesAreSearchedForWhatIsToBeRevokedWhateverTheOptionsSayNow) {
  TempDir dir;
  FileSinkOptions options{.directory = dir / "out", .time_partition = "hourly"};
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  ASSERT_TRUE(sink.Write({{"a", "2"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(2).ok());
  options.time_partition = "";
  SinkInstance next(options, TestEnvironment(), {.attempt = 2});
  EXPECT_EQ(*LastCommittedCheckpoint(options, TestEnvironment(), "job-1", "sink"), 2u);
  EXPECT_FALSE(CheckFileSink(options, TestEnvironment(), "job-2").ok());
  ASSERT_TRUE(next->Recover({.job_id = "job-1", .restored = 1, .revoke = true}).ok());
  EXPECT_THAT(FilesBelow(dir / "out"),
              ElementsAre("a/.revoked/date=1970-01-01/hour=00/part-job-1.sink.s0.a1.c2.1.jsonl.zst",
                          "a/date=1970-01-01/hour=00/part-job-1.sink.s0.a1.c1.0.jsonl.zst"));
}

TEST(FileSink, AFolderThatWasTidiedUpIsMadeAgainByTheCommit) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .time_partition = "hourly"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const auto handles = sink.Checkpoint(1);
  std::filesystem::remove_all(dir / "out/a/date=1970-01-01");
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_THAT(Committed(dir / "out"),
              ElementsAre(Pair("a/date=1970-01-01/hour=00", ElementsAre("1"))));
}

TEST(FileSink, WritesGzipAndPlainTextToo) {
  for (PartCompression compression : kPartCompressions) {
    TempDir dir;
    FileSinkOptions options{.directory = dir / "out", .block_bytes = 1000};
    options.encoding.compression = compression;
    SinkInstance sink(options, TestEnvironment());
    std::vector<std::string> expected;
    std::vector<RoutedLine> lines;
    for (int i = 0; i < 500; ++i) {
      expected.push_back(std::to_string(100 + i));
      lines.emplace_back("a", expected.back());
    }
    expected.push_back(std::string(100'000, 'x'));
    lines.emplace_back("a", expected.back());
    ASSERT_TRUE(sink.Write(lines).ok());
    ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
    const auto files = FilesBelow(dir / "out");
    ASSERT_EQ(files.size(), 1u);
    EXPECT_TRUE(files[0].ends_with(SuffixOf(compression))) << files[0];
    EXPECT_EQ(Lines(Decompress(dir / "out" + "/" + files[0])), expected);
  }
}

TEST(FileSink, ALevelThatGzipDoesNotHaveFailsTheJob) {
  TempDir dir;
  FileSinkOptions options{.directory = dir / "out"};
  options.encoding = {.compression = PartCompression::kGzip, .gzip_level = 10};
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  EXPECT_THAT(sink.Checkpoint(1).status().ToString(), HasSubstr("no level 10"));
}

TEST(FileSink, BlocksWhileTheDiskIsBehindAndWakesOnce) {
  TempDir dir;
  ManualPool pool;
  Environment env{RealEnvironment().clock, TestDisk(), pool, RealEnvironment().random};
  SinkInstance sink({.directory = dir / "out", .block_bytes = 100, .in_flight_blocks_max = 4}, env);
  std::vector<RoutedLine> lines(40, {"a", std::string(49, 'x')});
  auto progress = sink->Write(EventBatch(lines), sink.out());
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(*progress, Progress::kBlocked);
  EXPECT_EQ(*sink->Resume(sink.out()), Progress::kBlocked) << "a spurious call changes nothing";
  EXPECT_EQ(sink.wakes(), 0);
  EXPECT_GT(pool.RunAll(), 0u);
  EXPECT_EQ(sink.wakes(), 1);
  EXPECT_EQ(*sink->Resume(sink.out()), Progress::kDone);
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_EQ(Committed(dir / "out")["a"].size(), 40u);
}

TEST(FileSink, FrozenWriteNeedsNoOtherThreadOfThePool) {
  TempDir dir;
  ManualPool pool;  // nobody runs it
  Environment env{RealEnvironment().clock, TestDisk(), pool, RealEnvironment().random};
  SinkInstance sink({.directory = dir / "out", .block_bytes = 100, .in_flight_blocks_max = 100},
                    env);
  ASSERT_TRUE(sink.Write({40, {"a", std::string(49, 'x')}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(1).ok());
  EXPECT_EQ(Committed(dir / "out")["a"].size(), 40u);
  pool.RunAll();  // what was queued finds its work done
  EXPECT_EQ(Committed(dir / "out")["a"].size(), 40u);
}

TEST(FileSink, WritesOnWhileAFrozenGenerationIsStillBeingWritten) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .block_bytes = 1000}, TestEnvironment());
  std::vector<std::thread> writers;
  std::vector<StatusOr<StateSnapshot>> snapshots(20, absl::UnknownError("not run"));
  for (int c = 0; c < 20; ++c) {
    ASSERT_TRUE(sink.Write({500, {"a", std::to_string(c)}}).ok());
    auto frozen = std::shared_ptr<Frozen>(sink->Freeze(c + 1));
    writers.emplace_back([frozen, result = &snapshots[c]] {
      NoWriter writer;
      *result = frozen->Write(writer);
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (const auto& snapshot : snapshots) {
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    for (const std::string& handle : snapshot->handles) ASSERT_TRUE(sink->Commit(handle).ok());
  }
  EXPECT_EQ(Committed(dir / "out")["a"].size(), 20u * 500);
}

}  // namespace
}  // namespace weir::testing
