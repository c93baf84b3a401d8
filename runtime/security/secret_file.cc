#include "runtime/security/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/time.h"

namespace weir {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

Status CannotRead(const std::string& path, int error) {
  return ErrnoStatus(error, "cannot read " + path);
}

StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max, bool secret) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return CannotRead(path, errno);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return CannotRead(path, errno);
  if (secret && (info.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} is a secret, and every user of this machine may {} it; type: chmod 600 {}",
                    path, (info.st_mode & S_IROTH) != 0 ? "read" : "write", path));
  }
  std::string content;
  while (content.size() <= bytes_max) {
    const size_t had = content.size();
    content.resize(had + (64 << 10));
    const ssize_t got = read(file.get(), content.data() + had, content.size() - had);
    const int error = errno;
    content.resize(had + (got > 0 ? got : 0));
    if (got == 0) return content;
    if (got < 0 && error != EINTR) return CannotRead(path, error);
  }
  return absl::InvalidArgumentError(
      fmt::format("{} is larger than {}", path, FormatSize(bytes_max)));
}

}  // namespace

StatusOr<std::string> ReadPublicFile(const std::string& path, size_t bytes_max) {
  return ReadFile(path, bytes_max, /*secret=*/false);
}

StatusOr<std::string> ReadSecretFile(const std::string& path, size_t bytes_max) {
  return ReadFile(path, bytes_max, /*secret=*/true);
}

}  // namespace weir
