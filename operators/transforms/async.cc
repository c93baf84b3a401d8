#include "operators/transforms/async.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir {

std::string ToText(const AsyncOptions& options) {
  return fmt::format("concurrency={} {} timeout={} retries={} backoff={}..{}", options.concurrency,
                     options.ordered ? "ordered" : "unordered", FormatDuration(options.timeout),
                     options.retries, FormatDuration(options.backoff_min),
                     FormatDuration(options.backoff_max));
}

Status Validate(const AsyncOptions& options) {
  if (options.concurrency < 1 || options.concurrency > limits::kAsyncConcurrencyMax) {
    return absl::InvalidArgumentError(fmt::format("async: a concurrency of {}; it is 1 to {}",
                                                  options.concurrency,
                                                  limits::kAsyncConcurrencyMax));
  }
  if (options.timeout <= 0 || options.retries < 0) {
    return absl::InvalidArgumentError(fmt::format(
        "async: a timeout of {} us and {} retries; without a positive timeout a call that never "
        "returns would hold up everything",
        options.timeout, options.retries));
  }
  if (options.backoff_min < 0 || options.backoff_max < options.backoff_min) {
    return absl::InvalidArgumentError(
        fmt::format("async: a backoff of {} to {} us", options.backoff_min, options.backoff_max));
  }
  return absl::OkStatus();
}

namespace internal {

bool IsWorthARetry(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status) || absl::IsAborted(status);
}

Duration BackoffBefore(int attempt, const AsyncOptions& options) {
  Duration pause = options.backoff_min;
  for (int i = 2; i < attempt && pause < options.backoff_max; ++i) pause *= 2;
  return std::min(pause, options.backoff_max);
}

}  // namespace internal
}  // namespace weir
