// What a file source does with input that is bad, missing, or changes underneath.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>

#include "tests/operators/line_source_harness.h"
#include "tests/support/faulty_disk.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::EventLine;
using testing::FaultyDisk;
using testing::Gzip;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemorySnapshots;
using testing::SourceRun;
using testing::WriteBytes;
using testing::Zstd;

class FileSourceFaultsTest : public testing::FileSourceFixture {
 protected:
  static std::string Message(const Status& status) { return std::string(status.message()); }
  void Touch(const std::string& name) {
    const auto path = std::filesystem::path(Path(name));
    std::filesystem::last_write_time(
        path, std::filesystem::last_write_time(path) + std::chrono::seconds(5));
  }
};

TEST_F(FileSourceFaultsTest, OneBadLineCostsOneLine) {
  const std::vector<std::string> bad = {
      "hello",
      "{\"id\":\"x\",\"t\":1",
      "{\"id\":\"x\",\"t\":1,\"rest\":tru}",
      "{\"id\":\"x\",\"t\":1,\"rest\":\"\xff\xfe\"}",
      std::string(10'000, '['),
      std::string(20'000, '[') + std::string(20'000, ']'),
      "{\"t\":1}",
      "{\"id\":[1],\"t\":1}",
      "[\"id\"]",
      "{\"id\":\"x\"}{\"id\":\"y\"}",
      std::string("{\"id\":\"x\"}\0", 11),
  };
  std::string lines = EventLine("0", 100);
  std::vector<std::string> want = {"0"};
  for (size_t i = 0; i < bad.size(); ++i) {
    lines += bad[i] + "\n" + EventLine(std::to_string(i + 1), 101);
    want.push_back(std::to_string(i + 1));
  }
  // These are strange but right.
  lines += "{\"id\":\"deep\",\"x\":" + std::string(10'000, '[') + std::string(10'000, ']') + "}\n";
  lines += "{\"id\":\"long\",\"x\":1234567890123456789012345678901234567890,\"y\":1e999}\n";
  want.insert(want.end(), {"deep", "long"});
  for (const char* name : {"a.jsonl", "a.jsonl.gz", "a.jsonl.zst"}) {
    std::filesystem::remove_all(dir_ / "in");
    const Compression compression = CompressionOf(name);
    WriteBytes(Path(name), compression == Compression::kNone   ? lines
                           : compression == Compression::kGzip ? Gzip(lines)
                                                               : Zstd(lines));
    SourceRun run(Options());
    ASSERT_TRUE(run.Drain().ok());
    EXPECT_EQ(run.Ids(), want);
    ASSERT_EQ(run.out().rejected.size(), bad.size());
    uint64_t offset = EventLine("0", 100).size();
    for (size_t i = 0; i < bad.size(); ++i) {
      EXPECT_EQ(run.out().rejected[i].record, bad[i]);
      EXPECT_THAT(
          run.out().rejected[i].error,
          HasSubstr(fmt::format("{}, line {} at byte {}: ", Path(name), 2 * i + 2, offset)));
      EXPECT_GE(run.out().rejected[i].time, Seconds(100));
      offset += bad[i].size() + 1 + EventLine(std::to_string(i + 1), 101).size();
    }
  }
}

TEST_F(FileSourceFaultsTest, CountsTimesThatAreUnusable) {
  WriteBytes(Path("a.jsonl"), EventLine("1", 1'700'000'000) +
                                  "{\"id\":\"2\",\"t\":\"2099-01-01T00:00:00Z\"}\n"
                                  "{\"id\":\"3\",\"t\":\"last week\"}\n"
                                  "{\"id\":\"4\"}\n");
  SourceRun run(Options());
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.out().rejected, IsEmpty());
  for (const Event& event : run.out().Rows<Event>()) {
    EXPECT_EQ(event.time, Seconds(1'700'000'000));
  }
  EXPECT_EQ(run.bed().counters.unusable_times, 3u);
  EXPECT_EQ(run.source().watermark(), Seconds(1'700'000'000) - 1);
}

TEST_F(FileSourceFaultsTest, AClockThatJumpsBackMakesNoArrivalLate) {
  const EventFields no_time{{"id"}, "", "", "", ""};
  WriteBytes(Path("a.jsonl"), EventLine("a", 1) + EventLine("b", 2) + EventLine("c", 3));
  FileSourceOptions options = Options();
  options.batch_rows = 1;
  SourceRun run(options, 0, 1, {}, nullptr, nullptr, no_time);
  const Timestamp start = run.bed().clock.now;
  run.Poll();
  run.bed().clock.now += Hours(48);
  run.Poll();
  MemorySnapshots store;
  SourceRun after(options, 0, 1, {run.Checkpoint(store)}, &store, nullptr, no_time);
  for (SourceRun* both : {&run, &after}) {
    both->bed().clock.now = start - Hours(48);
    both->Poll();
    EXPECT_EQ(both->out().Rows<Event>().back().time, start + Hours(48));
    EXPECT_EQ(both->source().watermark(), start + Hours(48) - 1);
    EXPECT_EQ(both->late(), 0);
  }
}

TEST_F(FileSourceFaultsTest, ATruncatedFileCostsOneDeadLetterAndNoOtherFile) {
  std::string lines;
  std::vector<std::string> ids;
  for (int i = 0; i < 5'000; ++i) {
    ids.push_back(std::to_string(i * 7919));
    lines += EventLine(ids.back(), i);
  }
  for (bool gzip : {true, false}) {
    std::filesystem::remove_all(dir_ / "in");
    const std::string compressed = gzip ? Gzip(lines) : Zstd(lines);
    // A whole first member or frame, and half of a second one.
    WriteBytes(Path(gzip ? "a.jsonl.gz" : "a.jsonl.zst"),
               compressed + compressed.substr(0, compressed.size() / 2));
    WriteBytes(Path("b.jsonl"), EventLine("b", 3));
    SourceRun run(Options());
    ASSERT_TRUE(run.Drain().ok());
    EXPECT_GE(run.Ids().size(), ids.size() + 1);
    EXPECT_THAT(run.Ids(), Contains("b"));
    ASSERT_EQ(run.out().rejected.size(), 1u);
    const auto& letter = run.out().rejected[0];
    EXPECT_THAT(letter.error, AllOf(HasSubstr(Path("a.jsonl")), HasSubstr("data end in the middle"),
                                    HasSubstr("behind byte ")));
    EXPECT_NE(lines.find(letter.record), lines.npos);

    // After a restart it is still finished, and there is no second letter.
    MemorySnapshots store;
    SourceRun again(Options(), 0, 1, {run.Checkpoint(store)}, &store);
    ASSERT_TRUE(again.Drain().ok());
    EXPECT_THAT(again.Ids(), IsEmpty());
    EXPECT_THAT(again.out().rejected, IsEmpty());
  }
}

TEST_F(FileSourceFaultsTest, ALineOverTheLimitIsADeadLetterWithItsHead) {
  WriteBytes(Path("a.jsonl"),
             EventLine("1", 1) + std::string(500'000, 'x') + "\n" + EventLine("2", 2));
  FileSourceOptions options = Options();
  options.line_bytes_max = 100'000;
  SourceRun run(options);
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.Ids(), ElementsAre("1", "2"));
  ASSERT_EQ(run.out().rejected.size(), 1u);
  EXPECT_THAT(run.out().rejected[0].error,
              AllOf(HasSubstr(fmt::format("the line at byte {}: it has 500000 bytes, more than "
                                          "line_bytes_max (100000) allows",
                                          EventLine("1", 1).size())),
                    HasSubstr(Path("a.jsonl"))));
  EXPECT_EQ(run.out().rejected[0].record, std::string(limits::kDeadLetterRecordBytesMax, 'x'));
  EXPECT_EQ(run.out().rejected[0].time, Seconds(1));
}

TEST_F(FileSourceFaultsTest, ALineOf200MegabytesIsPassedOverInBoundedMemory) {
  // Compressed, so that the test has no 200 MB of its own.
  constexpr size_t kLength = 200'000'000;
  std::string content = EventLine("1", 1) + "{\"id\":\"";
  const size_t start = EventLine("1", 1).size();
  std::string file;
  {
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    std::string out(1 << 20, '\0');
    auto put = [&](std::string_view bytes, ZSTD_EndDirective end) {
      ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
      size_t left;
      do {
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        left = ZSTD_compressStream2(context, &to, &from, end);
        file.append(out.data(), to.pos);
      } while (from.pos < from.size || (end == ZSTD_e_end && left > 0));
    };
    put(content, ZSTD_e_continue);
    const std::string block(1'000'000, 'x');
    for (size_t done = 7; done < kLength; done += block.size()) {
      put(std::string_view(block).substr(0, kLength - done), ZSTD_e_continue);
    }
    put("\n" + EventLine("2", 2), ZSTD_e_end);
    ZSTD_freeCCtx(context);
  }
  WriteBytes(Path("a.jsonl.zst"), file);
  SourceRun run(Options());
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.Ids(), ElementsAre("1", "2"));
  ASSERT_EQ(run.out().rejected.size(), 1u);
  EXPECT_THAT(run.out().rejected[0].error,
              HasSubstr(fmt::format("the line at byte {}: it has {} bytes", start, kLength)));
  EXPECT_EQ(run.out().rejected[0].record.size(), limits::kDeadLetterRecordBytesMax);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 700 << 10);  // KiB
#endif
}

TEST_F(FileSourceFaultsTest, ReadsALineAsLongAsTheLimitAllows) {
  const std::string text(30'000'000, 'x');
  WriteBytes(Path("a.jsonl"), EventLine("1", 1) + "{\"id\":\"2\",\"t\":2,\"x\":\"" + text +
                                  "\"}\n" + EventLine("3", 3));
  SourceRun run(Options());
  ASSERT_TRUE(run.Drain().ok());
  EXPECT_THAT(run.Ids(), ElementsAre("1", "2", "3"));
  EXPECT_GT(run.Payloads()[1].size(), text.size());
}

TEST_F(FileSourceFaultsTest, SaysBeforeAJobStartsWhatCannotBeRead) {
  Environment& env = RealEnvironment();
  FileSourceOptions options;
  EXPECT_EQ(Message(CheckFileSource(options, env)), "no input is named: name a file or a folder");
  options.input = dir_ / "none";
  Status status = CheckFileSource(options, env);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(status), fmt::format("there is no file or folder '{}' to read", options.input));
  WriteBytes(dir_ / "empty/readme.txt", "");
  options.input = dir_ / "empty";
  status = CheckFileSource(options, env);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(status),
            fmt::format("the folder '{}' has no file to read: none ends in .jsonl, .jsonl.gz or "
                        ".jsonl.zst",
                        options.input));
  options.input = "/dev/null";
  EXPECT_THAT(Message(CheckFileSource(options, env)), HasSubstr("/dev/null"));
  WriteBytes(Path("a.jsonl"), "");
  EXPECT_TRUE(CheckFileSource(Options(), env).ok());
}

TEST_F(FileSourceFaultsTest, SaysWhichFileItMayNotRead) {
  WriteBytes(Path("a.jsonl"), EventLine("a", 1));
  WriteBytes(Path("b.jsonl"), EventLine("b", 2));
  FaultyDisk disk(RealEnvironment().disk);
  disk.SetFault([](std::string_view action, const std::string& path) -> Status {
    if (action != "open" || !path.ends_with("b.jsonl")) return absl::OkStatus();
    return ErrnoStatus(EACCES, "cannot open " + path);
  });
  Environment& real = RealEnvironment();
  Environment env{real.clock, disk, real.io, real.random};
  for (const Status& status :
       {CheckFileSource(Options(), env), SourceRun(Options(), 0, 1, {}, nullptr, &disk).Drain()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_FALSE(IsRetryable(status));
    EXPECT_EQ(Message(status), fmt::format("cannot open {}: Permission denied", Path("b.jsonl")));
  }
}

TEST_F(FileSourceFaultsTest, ALinkToAFolderAboveIsFound) {
  WriteBytes(Path("sub/a.jsonl"), EventLine("a", 1));
  std::filesystem::create_directory_symlink("..", Path("sub/up"));
  EXPECT_FALSE(CheckFileSource(Options(), RealEnvironment()).ok());
}

class ChangedFileTest : public FileSourceFaultsTest {
 protected:
  void SetUp() override {
    for (int i = 0; i < 100; ++i) lines_ += EventLine(std::to_string(i), i);
    WriteBytes(Path("a.jsonl"), lines_);
    WriteBytes(Path("b.jsonl"), lines_);
  }
  // Reads b.jsonl in part, or all, and says how a run from there starts once `change` was made.
  template <class Change>
  Status Restore(bool to_the_end, Change change) {
    FileSourceOptions options = Options();
    options.batch_rows = 10;
    MemorySnapshots store;
    SourceRun before(options);
    for (int i = 0; i < 4 && before.Poll(); ++i) {
    }
    EXPECT_TRUE(!to_the_end || before.Drain().ok());
    const StateSnapshot snapshot = before.Checkpoint(store);
    change();
    SourceRun after(options, 0, 1, {snapshot}, &store);
    return after.opened();
  }
  void ExpectChanged(const Status& status, const char* how) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("b.jsonl"), HasSubstr(how), HasSubstr("--fresh")));
  }
  std::string lines_;
};

TEST_F(ChangedFileTest, IsNoticedAfterARestart) {
  auto reset = [&] {
    std::filesystem::remove_all(dir_ / "in");
    SetUp();
  };
  for (bool to_the_end : {false, true}) {
    const auto size = lines_.size();
    EXPECT_TRUE(Restore(to_the_end, [] {}).ok());
    ExpectChanged(Restore(to_the_end, [&] { WriteBytes(Path("b.jsonl"), lines_ + "more\n"); }),
                  fmt::format("it had {} bytes and has {}", size, size + 5).c_str());
    reset();
    ExpectChanged(Restore(to_the_end, [&] { WriteBytes(Path("b.jsonl"), "less\n"); }),
                  "bytes and has 5");
    reset();
    ExpectChanged(Restore(to_the_end, [&] { Touch("b.jsonl"); }), "it was last modified at ");
    reset();
    // Other bytes under the same size and time.
    ExpectChanged(Restore(to_the_end,
                          [&] {
                            const auto time = std::filesystem::last_write_time(Path("b.jsonl"));
                            std::string other = lines_;
                            other[7] = 'X';
                            WriteBytes(Path("b.jsonl"), other);
                            std::filesystem::last_write_time(Path("b.jsonl"), time);
                          }),
                  "its first 4 KiB are others");
    reset();
  }
  ExpectChanged(Restore(false, [&] { std::filesystem::remove(Path("b.jsonl")); }), "it is gone");
}

TEST_F(FileSourceFaultsTest, AFileThatGoesOrChangesBeforeItWasOpenedIsMissedAfterARestart) {
  EventFields no_time{{"id"}, "", "", "", ""};
  WriteBytes(Path("a.jsonl"), EventLine("a", 1) + EventLine("b", 2));
  WriteBytes(Path("b.jsonl"), EventLine("c", 3));
  FileSourceOptions options = Options();
  options.batch_rows = 1;
  MemorySnapshots store;
  SourceRun before(options, 0, 1, {}, nullptr, nullptr, no_time);
  EXPECT_TRUE(before.Poll());  // a.jsonl: without event time one file is read after the other
  const std::vector<StateSnapshot> snapshots = {before.Checkpoint(store)};
  auto restart = [&] {
    return SourceRun(options, 0, 1, snapshots, &store, nullptr, no_time).opened();
  };
  EXPECT_TRUE(restart().ok());

  std::filesystem::rename(Path("b.jsonl"), Path("b.away"));
  EXPECT_EQ(restart().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(restart().message()), AllOf(HasSubstr("b.jsonl"), HasSubstr("gone")));
  WriteBytes(Path("b.jsonl"), EventLine("other", 3));
  EXPECT_EQ(restart().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(restart().message()), AllOf(HasSubstr("b.jsonl"), HasSubstr("bytes")));
  std::filesystem::rename(Path("b.away"), Path("b.jsonl"));
  WriteBytes(Path("c.jsonl"), EventLine("new", 4));
  SourceRun after(options, 0, 1, snapshots, &store, nullptr, no_time);
  ASSERT_TRUE(after.Drain().ok());
  EXPECT_THAT(after.Ids(), ::testing::ElementsAre("b", "c", "new"));
}

TEST_F(ChangedFileTest, IsNoticedWhileItIsRead) {
  for (bool longer : {true, false}) {
    FileSourceOptions options = Options();
    options.batch_rows = 10;
    options.read_chunk_bytes = 64;
    SourceRun run(options);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(run.Poll());
    if (longer) {
      WriteBytes(Path("b.jsonl"), lines_ + EventLine("more", 1));
    } else {
      std::filesystem::resize_file(Path("b.jsonl"), lines_.size() - 20);
    }
    ExpectChanged(run.Drain(), "bytes and has");
  }
}

TEST_F(ChangedFileTest, AnErrorOfTheDiskIsNoEndOfTheFile) {
  FaultyDisk disk(RealEnvironment().disk);
  FileSourceOptions options = Options();
  options.batch_rows = 10;
  options.open_splits_max = 1;  // so that files are opened again
  SourceRun run(options, 0, 1, {}, nullptr, &disk);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(run.Poll());
  disk.SetFault([](std::string_view, const std::string& path) {
    return ErrnoStatus(EIO, "cannot open " + path);
  });
  const Status status = run.Drain();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IsRetryable(status));
}

}  // namespace
}  // namespace weir
