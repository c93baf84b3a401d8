// Status macros and the two kinds of error.
//
// An absl::Status says what went wrong outside: a file, a record, a parameter. Its code tells who
// can mend it:
//   the user's, trying again would not help:
//     InvalidArgument, NotFound, PermissionDenied, FailedPrecondition, AlreadyExists, Unimplemented
//   the world's, the attempt may be repeated:
//     Unavailable, ResourceExhausted, Aborted, Internal, DataLoss, ...
// Annotate() puts where it happened in front of the message and keeps the code.
#pragma once

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

using absl::Status;
using absl::StatusOr;

// "where: message".
Status Annotate(const Status& status, std::string_view where);

// True when the same work, tried again without a change by the user, may succeed.
bool IsRetryable(const Status& status);

// A Status from errno: NotFound, PermissionDenied, ResourceExhausted (disk full), else Unavailable.
// `what` names path and action.
Status ErrnoStatus(int error_number, std::string_view what);

}  // namespace weir

#define WEIR_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                    \
    if (::absl::Status weir_status = (expression); !weir_status.ok()) return weir_status; \
  } while (false)

#define WEIR_CONCAT_INNER(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_INNER(a, b)
// WEIR_ASSIGN_OR_RETURN(auto value, Call());
#define WEIR_ASSIGN_OR_RETURN(lhs, expression) \
  WEIR_ASSIGN_OR_RETURN_INNER(WEIR_CONCAT(weir_or_, __LINE__), lhs, expression)
#define WEIR_ASSIGN_OR_RETURN_INNER(tmp, lhs, expression) \
  auto tmp = (expression);                                \
  if (!tmp.ok()) return std::move(tmp).status();          \
  lhs = *std::move(tmp)
