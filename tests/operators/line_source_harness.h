// What tests of reading lines share: compressed bytes, files, and a source that is run by hand, by
// several subtasks, with checkpoints in memory.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operators/sources/event_decoder.h"
#include "operators/sources/file_source.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "testing/temp_dir.h"

namespace weir::testing {

inline std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string Zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);  // as the zstd command does
  const size_t size = ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size());
  ZSTD_freeCCtx(context);
  EXPECT_FALSE(ZSTD_isError(size));
  out.resize(size);
  return out;
}

inline void WriteBytes(const std::string& path, std::string_view bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
  ASSERT_TRUE(out.flush()) << path;
}

inline std::string EventLine(std::string_view id, int64_t second) {
  return "{\"id\":\"" + std::string(id) + "\",\"t\":" + std::to_string(second) + "}\n";
}

// A test with a folder, `in`, that a source reads.
class FileSourceFixture : public ::testing::Test {
 protected:
  FileSourceOptions Options() {
    FileSourceOptions options;
    options.input = dir_ / "in";
    return options;
  }
  std::string Path(const std::string& name) { return dir_ / ("in/" + name); }

  TempDir dir_;
};

// Work is done when it is submitted, on the thread that submits it.
class InlineIo final : public IoPool {
 public:
  void Submit(std::function<void()> work) override { work(); }
};

// One subtask of a FileSource with everything around it.
class SourceRun {
 public:
  // Restores from `snapshots` (one per subtask of an earlier run), if there are any.
  explicit SourceRun(const FileSourceOptions& options, int subtask = 0, int parallelism = 1,
                     const std::vector<StateSnapshot>& snapshots = {},
                     MemorySnapshots* store = nullptr, Disk* disk = nullptr,
                     EventFields fields = {{"id"}, "t", "", "", ""})
      : bed_(subtask, parallelism),
        env_{bed_.clock, disk != nullptr ? *disk : RealEnvironment().disk, io_,
             RealEnvironment().random},
        source_(options, std::make_unique<EventDecoder>(std::move(fields))) {
    if (store != nullptr) bed_.restore = RestoreFor(subtask, parallelism, snapshots, *store);
    auto keyed = MakeHeapKeyedStore({"source", bed_.context.key_groups}, bed_.restore);
    EXPECT_TRUE(keyed.ok()) << keyed.status();
    keyed_ = *std::move(keyed);
    bed_.context.keyed = keyed_.get();
    bed_.context.env = &env_;
    bed_.context.wake = [this] { woken_ = true; };
    bed_.clock.now = Seconds(2'000'000'000);
    opened_ = source_.Open(bed_.context);
  }

  const Status& opened() const { return opened_; }
  // False once the source has finished or failed.
  bool Poll() {
    const Timestamp before = source_.watermark();
    const size_t emitted = out_.emitted.size();
    auto result = source_.Poll(out_);
    if (!result.ok()) {
      failed_ = result.status();
      return false;
    }
    last_ = *result;
    EXPECT_GE(source_.watermark(), before);
    for (size_t i = emitted; i < out_.emitted.size(); ++i) {
      for (Timestamp time : out_.emitted[i].batch->times()) late_ += time <= before;
    }
    return last_.kind != PollResult::kFinished;
  }
  // Polls until the end; the status of a poll that failed.
  Status Drain() {
    if (!opened_.ok()) return opened_;
    while (Poll()) {
    }
    return failed_;
  }

  // Of a source that watches a folder: polls until there is nothing to do, then lets the time pass
  // until it wants to look again.
  void PollUntilIdle() {
    do {
      woken_ = false;
    } while (Poll() && (last_.kind == PollResult::kMore || woken_));
    if (last_.kind == PollResult::kIdle) bed_.clock.now = last_.next_poll;
  }
  const Status& failed() const { return failed_; }

  StateSnapshot Checkpoint(MemorySnapshots& store) {
    auto frozen = keyed_->Freeze(++checkpoint_);
    if (frozen == nullptr) return {};
    auto snapshot = frozen->Write(store);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return *std::move(snapshot);
  }

  std::vector<std::string> Payloads() const {
    std::vector<std::string> payloads;
    for (const Event& event : out_.Rows<Event>()) payloads.emplace_back(event.payload);
    return payloads;
  }
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const Event& event : out_.Rows<Event>()) ids.emplace_back(event.id);
    return ids;
  }
  RecordingOutput& out() { return out_; }
  FileSource& source() { return source_; }
  OperatorBed& bed() { return bed_; }
  const PollResult& last() const { return last_; }
  // Rows that came at or below a watermark that had been given out before.
  int late() const { return late_; }

 private:
  OperatorBed bed_;
  InlineIo io_;
  Environment env_;
  std::unique_ptr<KeyedStore> keyed_;
  FileSource source_;
  RecordingOutput out_;
  Status opened_;
  Status failed_;
  PollResult last_;
  CheckpointId checkpoint_ = 0;
  int late_ = 0;
  bool woken_ = false;
};

}  // namespace weir::testing
