#include "runtime/worker/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace weir {
namespace {

// Appends the last bytes of the file, at most so many.
void ReadEnd(int descriptor, uint64_t bytes_max, std::string& bytes) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return;
  const auto size = static_cast<uint64_t>(info.st_size);
  const uint64_t wanted = std::min(size, bytes_max);
  const size_t before = bytes.size();
  bytes.resize(before + wanted);
  const ssize_t read =
      pread(descriptor, bytes.data() + before, wanted, static_cast<off_t>(size - wanted));
  bytes.resize(before + static_cast<size_t>(std::max<ssize_t>(read, 0)));
}

}  // namespace

StatusOr<OutputFile> OutputFile::Create(std::string path, Limits limits) {
  OutputFile file;
  file.descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file.descriptor_ < 0) {
    return absl::ErrnoToStatus(errno, fmt::format("cannot create {}", path));
  }
  file.path_ = std::move(path);
  file.limits_ = limits;
  return file;
}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(limits_, other.limits_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void OutputFile::Bound() const {
  struct stat info;
  if (descriptor_ < 0 || fstat(descriptor_, &info) != 0 ||
      static_cast<uint64_t>(info.st_size) <= limits_.part_bytes_max) {
    return;
  }
  std::string full;
  ReadEnd(descriptor_, limits_.part_bytes_max, full);
  for (int part = limits_.parts_max - 1; part > 1; --part) {
    (void)rename(PartPath(part - 1).c_str(), PartPath(part).c_str());
  }
  const int copy = open(PartPath(1).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (copy >= 0) {
    // On a full disk the part is lost: the room that it takes is what matters then.
    for (size_t done = 0; done < full.size();) {
      const ssize_t written = write(copy, full.data() + done, full.size() - done);
      if (written <= 0) break;
      done += static_cast<size_t>(written);
    }
    close(copy);
  }
  (void)ftruncate(descriptor_, 0);
}

std::string OutputFile::Tail(size_t bytes_max) const {
  std::string newest;
  if (descriptor_ < 0) return newest;
  ReadEnd(descriptor_, bytes_max, newest);
  if (newest.size() == bytes_max) return newest;
  std::string tail;
  if (const int before = open(PartPath(1).c_str(), O_RDONLY | O_CLOEXEC); before >= 0) {
    ReadEnd(before, bytes_max - newest.size(), tail);
    close(before);
  }
  return tail + newest;
}

std::string OutputFile::PartPath(int part) const { return fmt::format("{}.{}", path_, part); }

}  // namespace weir
