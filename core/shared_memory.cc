#include "core/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace weir {

StatusOr<SharedMemory> SharedMemory::Create(const std::string& name, size_t bytes, Access access) {
  SharedMemory memory;
  memory.bytes_ = bytes;
  memory.fd_ = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const auto error = [&](std::string_view what) {
    return ErrnoStatus(errno, fmt::format("cannot {} shared memory of {} bytes", what, bytes));
  };
  if (memory.fd_ < 0 || ftruncate(memory.fd_, static_cast<off_t>(bytes)) != 0) {
    return error("make");
  }
  const bool here = access == Access::kWriteHere;
  void* data = mmap(nullptr, bytes, PROT_READ | (here ? PROT_WRITE : 0), MAP_SHARED, memory.fd_, 0);
  if (data == MAP_FAILED) return error("map");
  memory.data_ = static_cast<char*>(data);
  int seals = F_SEAL_SHRINK | F_SEAL_GROW;
  if (here) seals |= F_SEAL_FUTURE_WRITE;
  if (fcntl(memory.fd_, F_ADD_SEALS, seals) != 0 ||
      fcntl(memory.fd_, F_ADD_SEALS, F_SEAL_SEAL) != 0) {
    return error("seal");
  }
  return memory;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (fd_ >= 0) close(fd_);
}

size_t SharedMemory::used_bytes() const {
  struct stat info {};
  return fstat(fd_, &info) == 0 ? static_cast<size_t>(info.st_blocks) * 512 : 0;
}

void SharedMemory::Free(size_t offset, size_t bytes) {
  // Where the system refuses, the memory stays; it is used again.
  (void)fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(bytes));
}

StatusOr<int> FileInMemory(const std::string& name, std::string_view bytes) {
  const int fd = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, fmt::format("cannot make the file {} in memory", name));
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const Status status =
          ErrnoStatus(errno, fmt::format("cannot write the file {} in memory", name));
      close(fd);
      return status;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  lseek(fd, 0, SEEK_SET);
  return fd;
}

}  // namespace weir
