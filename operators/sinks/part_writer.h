// PartWriter: writes one part file of a file sink, block by block, on the I/O pool. Each block
// becomes one frame of its own (compression.h), so the file is whole behind every block.
//
// Internal to operators/sinks. The task appends and cuts; a thread of the pool compresses and
// writes, one block of a part at a time, different parts beside each other. A cut is a place
// between two blocks up to which the file is to be durable, and at which a checkpoint knows it.
// Await(), which runs on the pool, does what is left of the queue itself instead of waiting for the
// pool's turn: all threads of the pool may be inside some Await().
//
// A part has a few hundred bytes in memory beside its queue, and no encoder. Its file may be closed
// and opened again, so that the number of open ones is bounded.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/compression.h"
#include "operators/sinks/line_writer.h"
#include "operators/sinks/part_name.h"
#include "operators/sinks/sync_batch.h"

namespace weir {

// What all parts of one sink instance share. Thread-safe.
class SinkIo {
 public:
  // `part` names directory, job, stage, subtask and attempt.
  SinkIo(Environment& env, Part part, BlockEncoding encoding, size_t block_bytes,
         std::function<void()> wake)
      : env(env),
        part(std::move(part)),
        encoding(encoding),
        block_bytes(block_bytes),
        wake_(std::move(wake)),
        sync_(env.disk) {}

  Environment& env;
  const Part part;
  const BlockEncoding encoding;
  const size_t block_bytes;

  // Blocks on their way, in bytes before compression. Ended() may keep the block's buffer.
  void Begun(size_t bytes);
  void Ended(std::string block);
  // True if at least `bytes_max` are on their way; then a wake-up follows once half of them are
  // done, or when something failed.
  bool FullElseWake(size_t bytes_max);
  std::string SpareBuffer();

  // The first error of any part. Sticky: the instance is lost.
  void Fail(const Status& status);
  Status status() const;

  // Makes a part's folders, once per folder.
  Status EnsureFolders(const Part& part);
  // The part's file, as it is, and its name become durable with the next Sync(), as the folders do
  // that were made so far.
  void WillSync(const Part& part);
  Status Sync();

  uint64_t NextSequence() { return next_sequence_++; }

 private:
  friend class PartWriter;

  const std::function<void()> wake_;
  std::atomic<uint64_t> next_sequence_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable stopped_;  // some PartWriter has stopped running
  // All below: guarded by mutex_.
  size_t in_flight_bytes_ = 0;
  size_t wake_at_bytes_ = 0;
  bool waiting_ = false;
  Status status_;
  std::vector<std::string> spares_;

  // Never taken inside mutex_, nor mutex_ inside it.
  std::mutex sync_mutex_;
  std::set<std::string> folders_;  // guarded by sync_mutex_; those that were made
  SyncBatch sync_;                 // guarded by sync_mutex_
};

// A place in a part. Guarded by its SinkIo's mutex until done.
struct PartCut {
  bool done = false;
  Status status;
  uint64_t bytes = 0;
  uint64_t rows = 0;
  Timestamp min_time = kMaxTimestamp;
  Timestamp max_time = kMinTimestamp;
};

class PartWriter : public std::enable_shared_from_this<PartWriter> {
 public:
  PartWriter(std::shared_ptr<SinkIo> io, const LineBlock& block)
      : io_(std::move(io)),
        partition_(block.partition),
        time_path_(block.span.path),
        sequence_(io_->NextSequence()) {}

  enum class After { kStayOpen, kCloseFile };

  // Called by the task, or by whoever it has given the part to.
  void Append(Lines lines);
  // Lets go of the file until the next Append().
  void CloseFile();
  // Appends `rest`, which may be empty, and cuts. Nothing is started: Await() or the next Append()
  // will.
  std::shared_ptr<PartCut> Cut(Lines rest, After after);

  // What has not begun need not be done: nobody will ask for this part. Any thread.
  void Abandon() { abandoned_ = true; }

  // Called on the I/O pool. The part as it is at the cut, written but not yet durable
  // (SinkIo::Sync), and without a checkpoint.
  StatusOr<Part> Await(const PartCut& cut);

  // Of the file so far, without what is on its way. Any thread.
  uint64_t bytes_written() const { return bytes_written_.load(std::memory_order_relaxed); }

 private:
  struct Work {
    Lines lines;
    std::shared_ptr<PartCut> cut;  // behind the lines, if any
    bool close_file = false;
  };
  enum class State : uint8_t { kIdle, kQueued, kRunning };

  Part Named() const;
  void Enqueue(Work work, bool start);
  void RunOnPool();
  // Runs what is queued. REQUIRES: `lock` holds the mutex and state_ is kRunning.
  void RunQueue(std::unique_lock<std::mutex>& lock);
  Status Do(const Work& work);
  Status WriteBlock(const Lines& lines);

  const std::shared_ptr<SinkIo> io_;
  const std::string partition_;
  const std::string time_path_;
  const uint64_t sequence_;
  std::atomic<bool> abandoned_ = false;
  std::atomic<uint64_t> bytes_written_ = 0;

  State state_ = State::kIdle;  // guarded by io_->mutex_
  std::vector<Work> queue_;     // guarded by io_->mutex_

  // Belong to the thread that has made state_ kRunning.
  bool created_ = false;
  uint64_t rows_ = 0;
  Timestamp min_time_ = kMaxTimestamp;
  Timestamp max_time_ = kMinTimestamp;
  std::unique_ptr<WritableFile> file_;
  Status status_;
};

}  // namespace weir
