// Environment: the one door to clocks, disks, threads that may block, and randomness.
//
// Everything above core/ takes what it needs from an Environment that it was given, so that tests
// replace a part of it (a disk that is full, a clock that jumps). RealEnvironment() is the
// process's own. All parts may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/time.h"

namespace weir {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp Now() = 0;            // wall time; may jump
  virtual int64_t MonotonicMicros() = 0;  // never goes back; for intervals
};

// A file being read. Not thread-safe.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // Reads up to `n` bytes at `offset`; fewer only at the end of the file.
  virtual StatusOr<size_t> ReadAt(uint64_t offset, char* buffer, size_t n) = 0;
};

// A file being written, from its start or from where it was cut. Not thread-safe. The destructor
// closes and keeps what was written.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status Append(std::string_view bytes) = 0;
  virtual Status Sync() = 0;  // on the device when it returns
  virtual Status Close() = 0;
};

// All that is written to one file system. Not thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // What was written to it is on the device when it returns, files and names, whoever wrote them.
  // Where there is much, this is far cheaper than a sync of each. Tells of errors since the object
  // was made, or of what an earlier call has not told; that needs Linux 5.8.
  virtual Status Sync() = 0;
};

struct FileInfo {
  uint64_t size = 0;
  Timestamp modified = 0;
  bool is_directory = false;
};

// Paths are the operating system's; errors name path and action, ResourceExhausted is a full disk.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) = 0;
  virtual StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) = 0;  // truncates
  // A file that exists, cut to its first `size` bytes, to be written on behind them. OutOfRange if
  // it is shorter, and then it is left as it was.
  virtual StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path,
                                                               uint64_t size) = 0;
  virtual StatusOr<FileInfo> Stat(const std::string& path) = 0;  // NotFound if there is none
  virtual StatusOr<std::vector<std::string>> List(
      const std::string& directory) = 0;  // names, sorted
  // Absolute, with every link in it followed, as far as the path exists: two names of one file or
  // folder become the same.
  virtual StatusOr<std::string> Canonical(const std::string& path) = 0;
  virtual Status MakeDirectories(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;  // atomic, replaces
  virtual Status HardLink(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;      // a file; NotFound if there is none
  virtual Status RemoveTree(const std::string& path) = 0;  // OK if there is none
  virtual Status SyncFile(const std::string& path) = 0;  // what whoever wrote it has left unsynced
  virtual Status SyncDirectory(const std::string& path) = 0;  // makes names in it durable
  // The one that a directory is on.
  virtual StatusOr<std::unique_ptr<FileSystem>> OpenFileSystem(const std::string& directory) = 0;
};

// Whole files. WriteAtomically leaves the old content or the new one, whatever happens: it writes
// `path` + ".tmp", syncs, renames and syncs the directory. An error after the rename means an
// unknown outcome; read the file to settle it.
StatusOr<std::string> ReadFile(Disk& disk, const std::string& path);
Status WriteAtomically(Disk& disk, const std::string& path, std::string_view bytes);
bool Exists(Disk& disk, const std::string& path);

// Threads on which calls may block: file I/O, compression, client libraries. Work that is submitted
// owns its data.
class IoPool {
 public:
  virtual ~IoPool() = default;
  virtual void Submit(std::function<void()> work) = 0;
};

// Runs work in the order of submission, one piece at a time, on an IoPool. Any thread may submit.
// The destructor waits.
class IoSequence {
 public:
  explicit IoSequence(IoPool& pool);
  ~IoSequence();
  void Submit(std::function<void()> work);
  void Wait();  // until everything submitted so far has run

 private:
  struct Shared;
  IoPool& pool_;
  std::shared_ptr<Shared> shared_;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
};

struct Environment {
  Clock& clock;
  Disk& disk;
  IoPool& io;
  Random& random;
};

// The machine's own; made at the first call, never destroyed.
Environment& RealEnvironment();

// An exclusive lock on a file, held until the object is destroyed or the process ends, however it
// ends.
class FileLock {
 public:
  // Of a file, made if it is missing, or of a folder, in which nothing is left behind. Unavailable
  // if it is held, also by this process; the message says by whom, of a file with their `holder`.
  static StatusOr<std::unique_ptr<FileLock>> Acquire(const std::string& path,
                                                     std::string_view holder = "");
  ~FileLock();

  // To be passed to other processes: the lock is held until all of them have ended as well.
  int descriptor() const { return fd_; }

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace weir
