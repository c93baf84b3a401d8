#include "tests/simulation/process.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/check.h"
#include "core/hash.h"

namespace weir::simulation {
namespace {

constexpr Timestamp kEpoch = 1'700'000'000'000'000;  // when the world begins, for its wall clocks
constexpr int64_t kPostMicros = 20;
constexpr int64_t kIoMicros = 300;
constexpr int64_t kSlowIoMicros = 50'000;
constexpr double kPauseChance = 0.15;

}  // namespace

class SimProcess::Clock final : public weir::Clock {
 public:
  explicit Clock(SimProcess& process) : process_(process) {}
  Timestamp Now() override { return kEpoch + process_.world_.Tick() + process_.clock_offset_; }
  int64_t MonotonicMicros() override { return process_.world_.Tick(); }

 private:
  SimProcess& process_;
};

class SimProcess::Pool final : public IoPool {
 public:
  explicit Pool(SimProcess& process) : process_(process) {}
  void Submit(std::function<void()> work) override { process_.SubmitIo(std::move(work)); }

 private:
  SimProcess& process_;
};

class SimProcess::DiskView final : public Disk {
 public:
  explicit DiskView(SimProcess& process) : process_(process), disk_(process.disk_) {}

  StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("open", path, false));
    WEIR_ASSIGN_OR_RETURN(SimDisk::File file, disk_.Find(path));
    return std::make_unique<Reader>(process_, std::move(file), path);
  }
  StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("create", path, true));
    WEIR_ASSIGN_OR_RETURN(SimDisk::File file, disk_.Create(path));
    return std::make_unique<Writer>(process_, std::move(file), path);
  }
  StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path,
                                                       uint64_t size) override {
    WEIR_RETURN_IF_ERROR(process_.Access("reopen", path, false));
    WEIR_ASSIGN_OR_RETURN(SimDisk::File file, disk_.Find(path));
    if (file->data.size() < size) return absl::OutOfRangeError(path + " is shorter");
    file->data.resize(size);
    file->synced_bytes = std::min<size_t>(file->synced_bytes, size);
    return std::make_unique<Writer>(process_, std::move(file), path);
  }
  StatusOr<FileInfo> Stat(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("stat", path, false));
    return disk_.Stat(path);
  }
  StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    WEIR_RETURN_IF_ERROR(process_.Access("list", directory, false));
    return disk_.List(directory);
  }
  StatusOr<std::string> Canonical(const std::string& path) override { return path; }
  Status MakeDirectories(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("mkdir", path, true));
    return disk_.MakeDirectories(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    WEIR_RETURN_IF_ERROR(process_.Access("rename", to, false));
    return disk_.Rename(from, to);
  }
  Status HardLink(const std::string& from, const std::string& to) override {
    WEIR_RETURN_IF_ERROR(process_.Access("link", to, false));
    return disk_.HardLink(from, to);
  }
  Status Remove(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("remove", path, false));
    return disk_.Remove(path);
  }
  Status RemoveTree(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("remove", path, false));
    return disk_.RemoveTree(path);
  }
  Status SyncFile(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("sync", path, false));
    WEIR_ASSIGN_OR_RETURN(SimDisk::File file, disk_.Find(path));
    disk_.Sync(*file);
    return absl::OkStatus();
  }
  Status SyncDirectory(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(process_.Access("syncdir", path, false));
    return disk_.SyncDirectory(path);
  }
  StatusOr<std::unique_ptr<FileSystem>> OpenFileSystem(const std::string& directory) override {
    struct Whole final : FileSystem {
      Whole(SimProcess& p, std::string d) : process(p), directory(std::move(d)) {}
      Status Sync() override {
        WEIR_RETURN_IF_ERROR(process.Access("syncfs", directory, false));
        process.disk_.SyncAll();
        return absl::OkStatus();
      }
      SimProcess& process;
      const std::string directory;
    };
    WEIR_RETURN_IF_ERROR(disk_.Stat(directory).status());
    return std::make_unique<Whole>(process_, directory);
  }

 private:
  class Reader final : public ReadableFile {
   public:
    Reader(SimProcess& process, SimDisk::File file, std::string path)
        : process_(process), file_(std::move(file)), path_(std::move(path)) {}
    StatusOr<size_t> ReadAt(uint64_t offset, char* buffer, size_t n) override {
      WEIR_RETURN_IF_ERROR(process_.Access("read", path_, false));
      const std::string& data = file_->data;
      if (offset >= data.size()) return 0;
      return data.copy(buffer, n, offset);
    }

   private:
    SimProcess& process_;
    const SimDisk::File file_;
    const std::string path_;
  };

  class Writer final : public WritableFile {
   public:
    Writer(SimProcess& process, SimDisk::File file, std::string path)
        : process_(process), file_(std::move(file)), path_(std::move(path)) {}
    Status Append(std::string_view bytes) override {
      const bool alive = process_.alive_;
      if (Status status = process_.Access("append", path_, true); !status.ok()) {
        // What a write that fails leaves behind, also where its process is killed in it.
        if (!alive) return status;
        process_.disk_.Append(*file_,
                              bytes.substr(0, process_.world_.random().Below(bytes.size())));
        return status;
      }
      process_.world_.Trace("bytes", Hash64(bytes), bytes.size());
      process_.disk_.Append(*file_, bytes);
      return absl::OkStatus();
    }
    Status Sync() override {
      WEIR_RETURN_IF_ERROR(process_.Access("sync", path_, false));
      process_.disk_.Sync(*file_);
      return absl::OkStatus();
    }
    Status Close() override { return absl::OkStatus(); }

   private:
    SimProcess& process_;
    const SimDisk::File file_;
    const std::string path_;
  };

  SimProcess& process_;
  SimDisk& disk_;
};

struct SimProcess::Parts {
  explicit Parts(SimProcess& process)
      : clock(process),
        disk(process),
        pool(process),
        random(process.world_.random().Next()),
        env{clock, disk, pool, random} {}
  Clock clock;
  DiskView disk;
  Pool pool;
  SeededRandom random;
  Environment env;
};

SimProcess::SimProcess(World& world, SimDisk& disk, DiskTrouble& trouble, std::string name)
    : world_(world),
      disk_(disk),
      trouble_(trouble),
      name_(std::move(name)),
      parts_(std::make_unique<Parts>(*this)) {}

SimProcess::~SimProcess() { End(); }

void SimProcess::End() {
  alive_ = false;
  waiting_.clear();
  if (on_gone) std::exchange(on_gone, nullptr)();
  while (HelpIo()) {
  }
}

Environment& SimProcess::env() { return parts_->env; }

void SimProcess::At(int64_t time, std::function<void()> event) {
  world_.At(time, std::move(event), this);
}

void SimProcess::Happen(std::function<void()> event) {
  if (!alive_) return;
  if (world_.now() < stopped_until_ || !waiting_.empty()) {
    waiting_.push_back(std::move(event));
  } else {
    event();
  }
}

void SimProcess::Post(std::function<void()> work) {
  const int64_t micros = world_.random().Delay(kPostMicros) * slowness_;
  posted_until_ = std::max(posted_until_, world_.now() + micros);
  At(posted_until_, std::move(work));
}

void SimProcess::Kill() {
  if (!std::exchange(alive_, false)) return;
  world_.Trace("kill", Hash64(name_));
  world_.Tell("{} is killed", name_);
  world_.After(0, [this] { End(); });
}

void SimProcess::StopFor(int64_t micros) {
  world_.Tell("{} stands still for {}", name_, FormatDuration(micros));
  stopped_until_ = std::max(stopped_until_, world_.now() + micros);
  world_.At(stopped_until_, [this] {
    if (!alive_ || world_.now() < stopped_until_) return;
    world_.Tell("{} goes on", name_);
    while (!waiting_.empty() && alive_ && world_.now() >= stopped_until_) {
      std::function<void()> event = std::move(waiting_.front());
      waiting_.pop_front();
      event();
    }
  });
}

void SimProcess::JumpClock(Duration by) { clock_offset_ += by; }

Status SimProcess::Access(std::string_view action, const std::string& path, bool writes) {
  const auto gone = [&] { return absl::UnavailableError(name_ + " is gone"); };
  if (!alive_) return gone();
  bool pauses = world_.now() < trouble_.slow_until || world_.random().Chance(kPauseChance);
  if (accesses_to_strike_ > 0 && --accesses_to_strike_ == 0) {
    world_.Tell("{} is struck at {} {}", name_, action, path);
    std::exchange(strike_, nullptr)(*this);
    if (!alive_) return gone();
    pauses = true;
  }
  if (Fiber* fiber = Fiber::Current(); fiber != nullptr && pauses && !helping_) {
    fiber->Pause();
    if (!alive_) return gone();
  }
  world_.Trace(action, Hash64(path), Hash64(name_));
  if (writes && world_.now() < trouble_.full_until) {
    return ErrnoStatus(ENOSPC, fmt::format("cannot {} {}", action, path));
  }
  if (trouble_.errors_left > 0 && world_.random().OneIn(20)) {
    --trouble_.errors_left;
    world_.Tell("{}: {} {} fails", name_, action, path);
    return ErrnoStatus(EIO, fmt::format("cannot {} {}", action, path));
  }
  return absl::OkStatus();
}

void SimProcess::SubmitIo(std::function<void()> work) {
  io_.push_back(std::move(work));
  StartIo();
}

void SimProcess::StartIo() {
  if (io_due_ || (io_.empty() && io_running_ == nullptr)) return;
  io_due_ = true;
  const bool slow = world_.now() < trouble_.slow_until;
  After(world_.random().Delay(slow ? kSlowIoMicros : kIoMicros), [this] { GoOnWithIo(); });
}

void SimProcess::GoOnWithIo() {
  io_due_ = false;
  if (io_running_ == nullptr) {
    if (io_.empty()) return;
    io_running_ = std::make_unique<Fiber>(std::move(io_.front()));
    io_.pop_front();
  }
  io_running_->Resume();
  if (io_running_->done()) io_running_.reset();
  StartIo();
}

bool SimProcess::HelpIo() {
  if (io_running_ == nullptr && io_.empty()) return false;
  const bool before = std::exchange(helping_, true);
  if (io_running_ != nullptr) {
    // It may be this very piece that has been reached from outside a fiber only.
    std::unique_ptr<Fiber> running = std::move(io_running_);
    while (!running->done()) running->Resume();
  } else {
    std::function<void()> work = std::move(io_.front());
    io_.pop_front();
    work();
  }
  helping_ = before;
  return true;
}

}  // namespace weir::simulation
