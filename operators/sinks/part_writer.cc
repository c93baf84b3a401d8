#include "operators/sinks/part_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "operators/sinks/part_recovery.h"

namespace weir {
namespace {

constexpr size_t kSpareBuffersMax = 8;
constexpr size_t kFoldersKeptMax = 10'000;

}  // namespace

void SinkIo::Begun(size_t bytes) {
  std::lock_guard lock(mutex_);
  in_flight_bytes_ += bytes;
}

void SinkIo::Ended(std::string block) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    WEIR_CHECK(in_flight_bytes_ >= block.size());
    in_flight_bytes_ -= block.size();
    if (waiting_ && in_flight_bytes_ <= wake_at_bytes_) {
      waiting_ = false;
      wake = true;
    }
    if (spares_.size() < kSpareBuffersMax && block.capacity() >= block_bytes &&
        block.capacity() <= 2 * block_bytes) {
      block.clear();
      spares_.push_back(std::move(block));
    }
  }
  if (wake) wake_();
}

bool SinkIo::FullElseWake(size_t bytes_max) {
  std::lock_guard lock(mutex_);
  if (in_flight_bytes_ < bytes_max || !status_.ok()) return false;
  waiting_ = true;
  wake_at_bytes_ = bytes_max / 2;
  return true;
}

std::string SinkIo::SpareBuffer() {
  std::lock_guard lock(mutex_);
  if (spares_.empty()) return {};
  std::string buffer = std::move(spares_.back());
  spares_.pop_back();
  return buffer;
}

void SinkIo::Fail(const Status& status) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = status;
    wake = waiting_;
    waiting_ = false;
  }
  if (wake) wake_();
}

Status SinkIo::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

Status SinkIo::EnsureFolders(const Part& part) {
  const std::string folder = part.Folder();
  std::lock_guard lock(sync_mutex_);
  if (folders_.contains(folder)) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(MakePartFolders(env.disk, part, sync_));
  WEIR_RETURN_IF_ERROR(sync_.Open(part.directory));
  if (folders_.size() >= kFoldersKeptMax) folders_.clear();
  folders_.insert(folder);
  return absl::OkStatus();
}

void SinkIo::WillSync(const Part& part) {
  std::lock_guard lock(sync_mutex_);
  sync_.AddFile(part.PendingPath());
  sync_.AddDirectory(part.PendingFolder());
}

Status SinkIo::Sync() {
  std::lock_guard lock(sync_mutex_);
  return sync_.Run();
}

Part PartWriter::Named() const {
  Part part = io_->part;
  part.partition = partition_;
  part.time_path = time_path_;
  part.sequence = sequence_;
  return part;
}

void PartWriter::Append(Lines lines) {
  io_->Begun(lines.bytes.size());
  Enqueue({std::move(lines), nullptr, false}, true);
}

void PartWriter::CloseFile() { Enqueue({{}, nullptr, true}, true); }

std::shared_ptr<PartCut> PartWriter::Cut(Lines rest, After after) {
  auto cut = std::make_shared<PartCut>();
  if (!rest.bytes.empty()) io_->Begun(rest.bytes.size());
  Enqueue({std::move(rest), cut, after == After::kCloseFile}, false);
  return cut;
}

void PartWriter::Enqueue(Work work, bool start) {
  {
    std::lock_guard lock(io_->mutex_);
    queue_.push_back(std::move(work));
    if (!start || state_ != State::kIdle) return;
    state_ = State::kQueued;
  }
  io_->env.io.Submit([self = shared_from_this()] { self->RunOnPool(); });
}

void PartWriter::RunOnPool() {
  std::unique_lock lock(io_->mutex_);
  if (state_ != State::kQueued) return;  // Await() came first
  state_ = State::kRunning;
  RunQueue(lock);
}

void PartWriter::RunQueue(std::unique_lock<std::mutex>& lock) {
  while (!queue_.empty()) {
    std::vector<Work> queue;
    queue.swap(queue_);
    for (Work& work : queue) {
      lock.unlock();
      if (status_.ok() && abandoned_) status_ = absl::CancelledError("the attempt has ended");
      if (status_.ok()) {
        status_ = Do(work);
        if (!status_.ok()) io_->Fail(status_);
      }
      if (!work.lines.bytes.empty()) io_->Ended(std::move(work.lines.bytes));
      lock.lock();
      if (work.cut == nullptr) continue;
      PartCut& cut = *work.cut;
      cut.status = status_;
      cut.bytes = bytes_written();
      cut.rows = rows_;
      cut.min_time = min_time_;
      cut.max_time = max_time_;
      cut.done = true;
    }
  }
  state_ = State::kIdle;
  io_->stopped_.notify_all();
}

Status PartWriter::Do(const Work& work) {
  if (!work.lines.bytes.empty()) WEIR_RETURN_IF_ERROR(WriteBlock(work.lines));
  if (work.close_file && file_ != nullptr) {
    // Unsynced as it is: the sync behind the next cut tells of errors that nobody has been told of.
    WEIR_RETURN_IF_ERROR(file_->Close());
    file_.reset();
  }
  return absl::OkStatus();
}

Status PartWriter::WriteBlock(const Lines& lines) {
  if (file_ == nullptr) {
    const Part part = Named();
    if (!created_) {
      WEIR_RETURN_IF_ERROR(io_->EnsureFolders(part));
      WEIR_ASSIGN_OR_RETURN(file_, io_->env.disk.Create(part.PendingPath()));
      created_ = true;
    } else {
      WEIR_ASSIGN_OR_RETURN(file_, io_->env.disk.OpenToAppend(part.PendingPath(), bytes_written()));
    }
  }
  WEIR_ASSIGN_OR_RETURN(const std::string_view frame,
                        EncodeBlock(io_->encoding, lines.bytes, 4 * io_->block_bytes));
  WEIR_RETURN_IF_ERROR(file_->Append(frame));
  bytes_written_.fetch_add(frame.size(), std::memory_order_relaxed);
  rows_ += lines.rows;
  min_time_ = std::min(min_time_, lines.min_time);
  max_time_ = std::max(max_time_, lines.max_time);
  return absl::OkStatus();
}

StatusOr<Part> PartWriter::Await(const PartCut& cut) {
  std::unique_lock lock(io_->mutex_);
  while (!cut.done) {
    if (state_ == State::kRunning) {
      // Whoever is running is on a thread of its own and needs nothing from this one.
      io_->stopped_.wait(lock);
      continue;
    }
    state_ = State::kRunning;
    RunQueue(lock);
  }
  WEIR_RETURN_IF_ERROR(cut.status);
  lock.unlock();
  Part part = Named();
  part.bytes = cut.bytes;
  part.rows = cut.rows;
  part.min_time = cut.min_time;
  part.max_time = cut.max_time;
  return part;
}

}  // namespace weir
