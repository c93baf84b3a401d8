#include "operators/sinks/part_writer.h"

#include <fmt/format.h>
#include <zstd.h>

#include "core/check.h"

namespace weir {
namespace {

constexpr size_t kSpareBuffersMax = 8;

// A context costs a megabyte and some time to make, so each thread of the pool keeps one.
class Compressor {
 public:
  ~Compressor() { ZSTD_freeCCtx(context_); }

  // The bytes as one frame; valid until the next call.
  StatusOr<std::string_view> Compress(std::string_view bytes, int level, bool checksum) {
    if (context_ == nullptr) context_ = ZSTD_createCCtx();
    if (context_ == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, checksum ? 1 : 0);
    const size_t bound = ZSTD_compressBound(bytes.size());
    if (bound > capacity_) {
      buffer_.reset(new char[bound]);
      capacity_ = bound;
    }
    const size_t n = ZSTD_compress2(context_, buffer_.get(), capacity_, bytes.data(), bytes.size());
    if (ZSTD_isError(n)) {
      return absl::InternalError(fmt::format("zstd could not compress a block of {} bytes: {}",
                                             bytes.size(), ZSTD_getErrorName(n)));
    }
    return std::string_view(buffer_.get(), n);
  }
  // Lets go of what one huge line needed.
  void Shrink(size_t keep_bytes) {
    if (capacity_ <= keep_bytes) return;
    buffer_.reset();
    capacity_ = 0;
  }

 private:
  ZSTD_CCtx* context_ = nullptr;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
};

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
  {
    std::lock_guard lock(mutex_);
    if (folders_.contains(part.partition)) return absl::OkStatus();
  }
  WEIR_RETURN_IF_ERROR(env.disk.MakeDirectories(part.PendingFolder()));
  WEIR_RETURN_IF_ERROR(env.disk.SyncDirectory(part.Folder()));
  if (!part.partition.empty()) WEIR_RETURN_IF_ERROR(env.disk.SyncDirectory(part.directory));
  std::lock_guard lock(mutex_);
  folders_.insert(part.partition);
  return absl::OkStatus();
}

void PartWriter::Append(std::string block) {
  io_->Begun(block.size());
  Enqueue({std::move(block), false});
}

void PartWriter::Seal() { Enqueue({{}, true}); }

void PartWriter::Enqueue(Work work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (state_ != State::kIdle) return;
    state_ = State::kQueued;
  }
  io_->env.io.Submit([self = shared_from_this()] { self->RunOnPool(); });
}

void PartWriter::RunOnPool() {
  std::unique_lock lock(mutex_);
  if (state_ != State::kQueued) return;  // Finish() came first
  state_ = State::kRunning;
  RunQueue(lock);
  state_ = State::kIdle;
  stopped_.notify_all();
}

void PartWriter::RunQueue(std::unique_lock<std::mutex>& lock) {
  while (!queue_.empty()) {
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    Do(work);
    lock.lock();
  }
}

void PartWriter::Do(Work& work) {
  if (status_.ok() && !abandoned_) {
    status_ = work.seal ? SealFile() : WriteBlock(work.block);
    if (!status_.ok()) io_->Fail(status_);
  }
  if (!work.seal) io_->Ended(std::move(work.block));
}

Status PartWriter::WriteBlock(const std::string& block) {
  if (file_ == nullptr) {
    WEIR_RETURN_IF_ERROR(io_->EnsureFolders(part_));
    WEIR_ASSIGN_OR_RETURN(file_, io_->env.disk.Create(part_.PendingPath()));
  }
  thread_local Compressor compressor;
  WEIR_ASSIGN_OR_RETURN(std::string_view frame,
                        compressor.Compress(block, io_->zstd_level, io_->checksum));
  WEIR_RETURN_IF_ERROR(file_->Append(frame));
  part_.bytes += frame.size();
  compressor.Shrink(4 * io_->block_bytes);
  return absl::OkStatus();
}

Status PartWriter::SealFile() {
  if (file_ == nullptr) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(file_->Sync());
  WEIR_RETURN_IF_ERROR(file_->Close());
  file_.reset();
  return absl::OkStatus();
}

StatusOr<Part> PartWriter::Finish(std::string rest) {
  if (!rest.empty()) io_->Begun(rest.size());
  std::unique_lock lock(mutex_);
  // Whoever is running is on a thread of its own and needs nothing from this one.
  stopped_.wait(lock, [this] { return state_ != State::kRunning; });
  if (!rest.empty()) queue_.push_back({std::move(rest), false});
  queue_.push_back({{}, true});
  state_ = State::kRunning;
  RunQueue(lock);
  state_ = State::kIdle;
  WEIR_CHECK(!abandoned_);
  WEIR_RETURN_IF_ERROR(status_);
  return part_;
}

}  // namespace weir
