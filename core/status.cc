#include "core/status.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace weir {

Status Annotate(const Status& status, std::string_view where) {
  if (status.ok()) return status;
  std::string_view message(status.message().data(), status.message().size());
  return Status(status.code(), fmt::format("{}: {}", where, message));
}

bool IsRetryable(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnimplemented:
      return false;
    default:
      return !status.ok();
  }
}

Status ErrnoStatus(int error_number, std::string_view what) {
  std::string message = fmt::format("{}: {}", what, std::strerror(error_number));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(
          message + "; let the process open more of them: ulimit -n, or the service's limit");
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace weir
