#include "operators/sinks/stdout_sink.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace weir {
namespace {

constexpr size_t kBlockBytes = 64 << 10;
constexpr size_t kQueuedBytesMax = 1 << 20;

// One block at a time: subtasks share the descriptor, and a block is whole lines.
Status WriteAll(int fd, std::string_view bytes) {
  static std::mutex one_block;
  std::lock_guard lock(one_block);
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "cannot write to standard output");
    }
  }
  return absl::OkStatus();
}

}  // namespace

// The bytes on their way. Shared with the I/O pool.
class StdoutSink::Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(IoPool& io, int fd, std::function<void()> wake)
      : io_(io), fd_(fd), wake_(std::move(wake)) {}

  void Append(std::string bytes) {
    {
      std::lock_guard lock(mutex_);
      queued_bytes_ += bytes.size();
      queue_.append(bytes);
      if (writing_) return;
      writing_ = true;
    }
    io_.Submit([self = shared_from_this()] { self->WriteQueue(); });
  }

  // True: more than `bytes_max` are queued, and a wake-up follows.
  StatusOr<bool> FullElseWake(size_t bytes_max) {
    std::lock_guard lock(mutex_);
    WEIR_RETURN_IF_ERROR(status_);
    waiting_ = queued_bytes_ > bytes_max;
    wake_at_bytes_ = bytes_max / 2;
    return waiting_;
  }

  void Abandon() {
    std::lock_guard lock(mutex_);
    abandoned_ = true;
  }

 private:
  void WriteQueue() {
    std::unique_lock lock(mutex_);
    while (!queue_.empty() && status_.ok() && !abandoned_) {
      std::string bytes;
      bytes.swap(queue_);
      lock.unlock();
      const Status status = WriteAll(fd_, bytes);
      lock.lock();
      status_ = status;
      queued_bytes_ -= bytes.size();
      if (waiting_ && (queued_bytes_ <= wake_at_bytes_ || !status_.ok())) {
        waiting_ = false;
        lock.unlock();
        wake_();
        lock.lock();
      }
    }
    writing_ = false;
  }

  IoPool& io_;
  const int fd_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  // All below: guarded by mutex_.
  std::string queue_;
  size_t queued_bytes_ = 0;  // with what is being written
  size_t wake_at_bytes_ = 0;
  bool writing_ = false;
  bool waiting_ = false;
  bool abandoned_ = false;
  Status status_;
};

StdoutSink::StdoutSink(std::unique_ptr<LineFormatter> formatter, int fd)
    : LineWriter({.block_bytes = kBlockBytes, .buffered_bytes_max = kQueuedBytesMax}),
      formatter_(std::move(formatter)),
      fd_(fd) {}

StdoutSink::~StdoutSink() { Close(); }

Status StdoutSink::Open(OperatorContext& context) {
  stream_ = std::make_shared<Stream>(context.env->io, fd_, context.wake);
  return absl::OkStatus();
}

StatusOr<Progress> StdoutSink::Write(BatchPtr batch, Output& out) {
  draining_ = false;
  set_rejects(out);
  formatter_->Format(*batch, *this);
  FlushAll();  // whoever watches sees each batch at once
  return Resume(out);
}

StatusOr<Progress> StdoutSink::Drain(DrainReason, Output& out) {
  draining_ = true;
  return Resume(out);
}

StatusOr<Progress> StdoutSink::Resume(Output&) {
  WEIR_ASSIGN_OR_RETURN(const bool full, stream_->FullElseWake(draining_ ? 0 : kQueuedBytesMax));
  return full ? Progress::kBlocked : Progress::kDone;
}

Status StdoutSink::Recover(const Recovery& recovery) {
  if (!recovery.revoke) return absl::OkStatus();
  return absl::UnimplementedError("what went to standard output cannot be taken back");
}

void StdoutSink::Close() {
  if (stream_ != nullptr) stream_->Abandon();
}

void StdoutSink::TakeLines(const LineBlock&, Lines lines) {
  stream_->Append(std::move(lines.bytes));
}

}  // namespace weir
