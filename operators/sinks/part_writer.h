// PartWriter: writes one part file of a file sink, block by block, on the I/O pool. Each block
// becomes one zstd frame of its own; the file is their concatenation, which any zstd reads.
//
// Internal to operators/sinks. The task appends; a thread of the pool compresses and writes, one
// block of a part at a time, different parts beside each other. Finish(), which runs on the pool,
// does what is left of the queue itself instead of waiting for the pool's turn: all threads of the
// pool may be inside some Finish().
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/part_name.h"

namespace weir {

// What all parts of one sink instance share. Thread-safe.
class SinkIo {
 public:
  SinkIo(Environment& env, size_t block_bytes, int zstd_level, bool checksum,
         std::function<void()> wake)
      : env(env),
        block_bytes(block_bytes),
        zstd_level(zstd_level),
        checksum(checksum),
        wake_(std::move(wake)) {}

  Environment& env;
  const size_t block_bytes;
  const int zstd_level;
  const bool checksum;

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

  // Makes a part's folders, durably, once per partition.
  Status EnsureFolders(const Part& part);

 private:
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  size_t in_flight_bytes_ = 0;
  size_t wake_at_bytes_ = 0;
  bool waiting_ = false;
  Status status_;
  std::vector<std::string> spares_;
  std::set<std::string> folders_;
};

class PartWriter : public std::enable_shared_from_this<PartWriter> {
 public:
  PartWriter(std::shared_ptr<SinkIo> io, Part part) : io_(std::move(io)), part_(std::move(part)) {}

  // Called by the task. Append() is not called after Seal(), which closes the file early, so that
  // the number of open ones stays bounded.
  void Append(std::string block);
  void Seal();

  // What has not begun need not be done: nobody will ask for this part. Any thread.
  void Abandon() { abandoned_ = true; }

  // Called once, on the I/O pool, when the task has let go: appends `rest` if there is any, then
  // makes the file's content durable and closes it; the caller syncs PendingFolder(). The part with
  // its size, still without a checkpoint.
  StatusOr<Part> Finish(std::string rest);

 private:
  struct Work {
    std::string block;
    bool seal = false;
  };
  enum class State { kIdle, kQueued, kRunning };

  void Enqueue(Work work);
  void RunOnPool();
  // Runs what is queued. REQUIRES: mutex_ is held by `lock` and state_ is kRunning.
  void RunQueue(std::unique_lock<std::mutex>& lock);
  void Do(Work& work);
  Status WriteBlock(const std::string& block);
  Status SealFile();

  const std::shared_ptr<SinkIo> io_;
  std::atomic<bool> abandoned_ = false;

  std::mutex mutex_;
  std::condition_variable stopped_;
  std::deque<Work> queue_;      // guarded by mutex_
  State state_ = State::kIdle;  // guarded by mutex_

  // Belong to the thread that has made state_ kRunning.
  Part part_;
  std::unique_ptr<WritableFile> file_;
  Status status_;
};

}  // namespace weir
