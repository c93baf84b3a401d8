#include "core/real_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace weir {
namespace {

Status ErrorOf(std::string_view action, const std::string& path) {
  return ErrnoStatus(errno, fmt::format("cannot {} {}", action, path));
}

Status ErrorOf(const std::error_code& error, std::string_view action, const std::string& path) {
  return ErrnoStatus(error.value(), fmt::format("cannot {} {}", action, path));
}

int OpenRetrying(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixReadableFile() override { close(fd_); }

  StatusOr<size_t> ReadAt(uint64_t offset, char* buffer, size_t n) override {
    size_t have = 0;
    while (have < n) {
      ssize_t got = pread(fd_, buffer + have, n - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrorOf(fmt::format("read at offset {} of", offset + have), path_);
      if (got == 0) break;
      have += static_cast<size_t>(got);
    }
    return have;
  }

 private:
  const int fd_;
  const std::string path_;
};

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixWritableFile() override {
    if (fd_ >= 0) close(fd_);
  }

  Status Append(std::string_view bytes) override {
    WEIR_RETURN_IF_ERROR(Usable());
    while (!bytes.empty()) {
      ssize_t n = write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed_ = ErrorOf("write to", path_);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }
  Status Sync() override {
    WEIR_RETURN_IF_ERROR(Usable());
    if (fsync(fd_) != 0) failed_ = ErrorOf("sync", path_);
    return failed_;
  }
  Status Close() override {
    if (fd_ < 0) return failed_;
    if (close(fd_) != 0 && errno != EINTR && failed_.ok()) failed_ = ErrorOf("close", path_);
    fd_ = -1;
    return failed_;
  }

 private:
  Status Usable() const {
    if (fd_ < 0 && failed_.ok()) {
      return absl::FailedPreconditionError(fmt::format("{} is closed already", path_));
    }
    return failed_;
  }

  int fd_;
  const std::string path_;
  // Stays: the kernel forgets an error once fsync() has told it, and a second one would succeed
  // though bytes are lost.
  Status failed_;
};

class PosixFileSystem final : public FileSystem {
 public:
  PosixFileSystem(int fd, std::string directory) : fd_(fd), directory_(std::move(directory)) {}
  ~PosixFileSystem() override { close(fd_); }

  Status Sync() override {
    // Stays, as it does for a file.
    if (failed_.ok() && syncfs(fd_) != 0) failed_ = ErrorOf("sync the file system of", directory_);
    return failed_;
  }

 private:
  const int fd_;
  const std::string directory_;
  Status failed_;
};

class PosixDisk final : public Disk {
 public:
  StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    // Without O_NONBLOCK a pipe would block here; it is refused below.
    int fd = OpenRetrying(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return ErrorOf("open", path);
    auto file = std::make_unique<PosixReadableFile>(fd, path);
    struct stat info;
    if (fstat(fd, &info) != 0) return ErrorOf("stat", path);
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(fmt::format(
          "cannot read {}: it is {}", path,
          S_ISDIR(info.st_mode) ? "a directory" : "a pipe or a device, which has no offsets"));
    }
    return file;
  }

  StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    int fd = OpenRetrying(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return ErrorOf("create", path);
    return std::make_unique<PosixWritableFile>(fd, path);
  }

  StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path,
                                                       uint64_t size) override {
    const int fd = OpenRetrying(path, O_WRONLY | O_APPEND);
    if (fd < 0) return ErrorOf("open", path);
    auto file = std::make_unique<PosixWritableFile>(fd, path);
    struct stat info;
    if (fstat(fd, &info) != 0) return ErrorOf("stat", path);
    const auto bytes = static_cast<uint64_t>(info.st_size);
    if (bytes < size) {
      return absl::OutOfRangeError(
          fmt::format("{} has {} bytes, which is less than the {} it had", path, bytes, size));
    }
    if (bytes > size && ftruncate(fd, static_cast<off_t>(size)) != 0) return ErrorOf("cut", path);
    return file;
  }

  StatusOr<FileInfo> Stat(const std::string& path) override {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return ErrorOf("stat", path);
    FileInfo result;
    result.size = static_cast<uint64_t>(info.st_size);
    result.modified = Seconds(info.st_mtim.tv_sec) + info.st_mtim.tv_nsec / 1000;
    result.is_directory = S_ISDIR(info.st_mode);
    return result;
  }

  StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
    if (dir == nullptr) return ErrorOf("list", directory);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(dir.get());
      if (entry == nullptr) {
        if (errno != 0) return ErrorOf("list", directory);
        break;
      }
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  StatusOr<std::string> Canonical(const std::string& path) override {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(path, error);
    if (error) return ErrorOf(error, "resolve", path);
    std::string result = std::filesystem::weakly_canonical(absolute, error).string();
    if (error) return ErrorOf(error, "resolve", path);
    while (result.size() > 1 && result.back() == '/') result.pop_back();
    return result;
  }

  Status MakeDirectories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return ErrorOf(error, "make the directory", path);
    // A file of that name does not count as an error above on every standard library.
    if (!std::filesystem::is_directory(path, error)) {
      return ErrnoStatus(ENOTDIR, fmt::format("cannot make the directory {}", path));
    }
    return absl::OkStatus();
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return ErrorOf(fmt::format("rename {} to", from), to);
  }

  Status HardLink(const std::string& from, const std::string& to) override {
    if (link(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return ErrorOf(fmt::format("link {} to", from), to);
  }

  Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) == 0) return absl::OkStatus();
    return ErrorOf("remove", path);
  }

  Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return ErrorOf(error, "remove the directory", path);
    return absl::OkStatus();
  }

  StatusOr<std::unique_ptr<FileSystem>> OpenFileSystem(const std::string& directory) override {
    const int fd = OpenRetrying(directory, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return ErrorOf("open the directory", directory);
    return std::make_unique<PosixFileSystem>(fd, directory);
  }

  Status SyncFile(const std::string& path) override { return Sync(path, "", 0); }
  Status SyncDirectory(const std::string& path) override {
    return Sync(path, " the directory", O_DIRECTORY);
  }

 private:
  static Status Sync(const std::string& path, std::string_view kind, int flags) {
    const int fd = OpenRetrying(path, O_RDONLY | flags);
    if (fd < 0) return ErrorOf(fmt::format("open{}", kind), path);
    Status status = fsync(fd) == 0 ? absl::OkStatus() : ErrorOf(fmt::format("sync{}", kind), path);
    close(fd);
    return status;
  }
};

}  // namespace

std::unique_ptr<Disk> NewRealDisk() { return std::make_unique<PosixDisk>(); }

namespace {

// The process that has the file locked, as the kernel lists it; "" if it cannot be told.
std::string HolderOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return "";
  std::ifstream locks("/proc/locks");
  const std::string inode = fmt::format(":{}", info.st_ino);
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, mode, access, pid, file;
    words >> number >> kind >> mode >> access >> pid >> file;
    if (kind == "FLOCK" && file.ends_with(inode)) return pid;
  }
  return "";
}

}  // namespace

StatusOr<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& path,
                                                      std::string_view holder) {
  int fd = OpenRetrying(path, O_RDWR | O_CREAT, 0644);
  const bool folder = fd < 0 && errno == EISDIR;
  if (folder) fd = OpenRetrying(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return ErrorOf("open the lock", path);
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    const int error = errno;
    char text[256];
    const ssize_t n = folder ? 0 : pread(fd, text, sizeof text, 0);
    const std::string who = n > 0 ? std::string(text, n) : HolderOf(fd);
    close(fd);
    // Where the file system locks no folders (NFS), a file in it.
    if (folder && error != EWOULDBLOCK) return Acquire(path + "/.lock", holder);
    if (error != EWOULDBLOCK) return ErrnoStatus(error, fmt::format("cannot lock {}", path));
    return absl::UnavailableError(fmt::format("{} is locked by another process{}{}", path,
                                              who.empty() ? "" : ", of id ", who));
  }
  if (folder) return std::unique_ptr<FileLock>(new FileLock(fd));
  // Who holds it, for the message above. The lock holds without it, so errors do not matter.
  const std::string who = fmt::format("{}{}{}", getpid(), holder.empty() ? "" : ", ", holder);
  if (ftruncate(fd, 0) == 0 && pwrite(fd, who.data(), who.size(), 0) < 0) errno = 0;
  return std::unique_ptr<FileLock>(new FileLock(fd));
}

FileLock::~FileLock() { close(fd_); }

}  // namespace weir
