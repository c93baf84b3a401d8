#include "core/environment.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "core/check.h"
#include "core/real_disk.h"

namespace weir {
namespace {

class RealClock final : public Clock {
 public:
  Timestamp Now() override { return Read(CLOCK_REALTIME); }
  int64_t MonotonicMicros() override { return Read(CLOCK_MONOTONIC); }

 private:
  static int64_t Read(clockid_t which) {
    timespec now;
    WEIR_CHECK(clock_gettime(which, &now) == 0);
    return Seconds(now.tv_sec) + now.tv_nsec / 1000;
  }
};

class RealRandom final : public Random {
 public:
  uint64_t Next() override {
    std::lock_guard lock(mutex_);
    return engine_();
  }

 private:
  static std::mt19937_64 Seeded() {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }
  std::mutex mutex_;
  std::mt19937_64 engine_ = Seeded();  // guarded by mutex_
};

// Lives as long as the process: its threads are never joined.
class ThreadIoPool final : public IoPool {
 public:
  explicit ThreadIoPool(unsigned threads) {
    // Signals are the main thread's: a thread inherits the mask of the one that starts it.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < threads; ++i) {
      std::thread thread([this] { Run(); });
      pthread_setname_np(thread.native_handle(), "weir-io");
      thread.detach();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  void Submit(std::function<void()> work) override {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    work_arrived_.notify_one();
  }

 private:
  [[noreturn]] void Run() {
    for (;;) {
      std::unique_lock lock(mutex_);
      work_arrived_.wait(lock, [this] { return !queue_.empty(); });
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_arrived_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
};

}  // namespace

Environment& RealEnvironment() {
  static Environment* environment = new Environment{
      *new RealClock,
      *NewRealDisk().release(),
      *new ThreadIoPool(std::max(2u, std::thread::hardware_concurrency())),
      *new RealRandom,
  };
  return *environment;
}

static std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

StatusOr<std::string> ReadFile(Disk& disk, const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, disk.OpenForRead(path));
  WEIR_ASSIGN_OR_RETURN(FileInfo info, disk.Stat(path));
  std::string bytes;
  size_t wanted = static_cast<size_t>(info.size) + 1;  // one more, to see the end at once
  for (;;) {
    const size_t have = bytes.size();
    bytes.resize(have + wanted);
    WEIR_ASSIGN_OR_RETURN(size_t n, file->ReadAt(have, bytes.data() + have, wanted));
    bytes.resize(have + n);
    if (n < wanted) return bytes;
    wanted = std::max<size_t>(have + n, 4096);
  }
}

Status WriteAtomically(Disk& disk, const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  auto write = [&]() -> Status {
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, disk.Create(temporary));
    WEIR_RETURN_IF_ERROR(file->Append(bytes));
    WEIR_RETURN_IF_ERROR(file->Sync());
    WEIR_RETURN_IF_ERROR(file->Close());
    return disk.Rename(temporary, path);
  };
  if (Status status = write(); !status.ok()) {
    disk.Remove(temporary).IgnoreError();  // the first error is the one to tell
    return status;
  }
  return disk.SyncDirectory(DirectoryOf(path));
}

bool Exists(Disk& disk, const std::string& path) { return disk.Stat(path).ok(); }

struct IoSequence::Shared : std::enable_shared_from_this<Shared> {
  explicit Shared(IoPool& pool) : pool(pool) {}

  // Runs one piece and queues up anew, so that one sequence does not keep a thread to itself.
  void RunOne() {
    std::function<void()> work;
    {
      std::lock_guard lock(mutex);
      work = std::move(queue.front());
      queue.pop_front();
    }
    work();
    work = nullptr;  // what it owns goes before Wait() returns
    bool more;
    {
      std::lock_guard lock(mutex);
      ++done;
      more = running = !queue.empty();
      progressed.notify_all();
    }
    if (more) pool.Submit([self = shared_from_this()] { self->RunOne(); });
  }

  IoPool& pool;
  std::mutex mutex;
  std::condition_variable progressed;
  // All below: guarded by mutex.
  std::deque<std::function<void()>> queue;
  bool running = false;
  uint64_t submitted = 0;
  uint64_t done = 0;
};

IoSequence::IoSequence(IoPool& pool) : pool_(pool), shared_(std::make_shared<Shared>(pool)) {}

IoSequence::~IoSequence() { Wait(); }

void IoSequence::Submit(std::function<void()> work) {
  bool start;
  {
    std::lock_guard lock(shared_->mutex);
    shared_->queue.push_back(std::move(work));
    ++shared_->submitted;
    start = !shared_->running;
    shared_->running = true;
  }
  if (start) pool_.Submit([shared = shared_] { shared->RunOne(); });
}

void IoSequence::Wait() {
  std::unique_lock lock(shared_->mutex);
  const uint64_t until = shared_->submitted;
  shared_->progressed.wait(lock, [&] { return shared_->done >= until; });
}

}  // namespace weir
