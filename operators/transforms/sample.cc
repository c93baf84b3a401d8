#include "operators/transforms/sample.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/codec.h"

namespace weir {
namespace {

constexpr std::string_view kFormat = "sample/1";

}  // namespace

std::string ToText(const SampleOptions& options) {
  std::string text = fmt::format("share={}", options.share);
  if (options.seed) text += fmt::format(" seed={}", *options.seed);
  return text;
}

Status Validate(const SampleOptions& options) {
  if (options.share > 0 && options.share <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("sample: the share is {}; it must be above 0 and at most 1", options.share));
}

SampleBase::SampleBase(SampleOptions options)
    : options_(options),
      // 2^64 does not fit, and is what a share of 1 would need.
      threshold_(options.share > 0 && options.share < 1
                     ? static_cast<uint64_t>(std::ldexp(options.share, 64))
                     : UINT64_MAX) {}

StatusOr<StateDescription> SampleBase::DescribeState() {
  StateDescription description;
  description.own.formats = {std::string(kFormat)};
  return description;
}

Status SampleBase::Open(OperatorContext& context) {
  WEIR_RETURN_IF_ERROR(Validate(options_));
  counters_ = context.counters;
  seed_ = Mix(options_.seed.value_or(Hash64(context.stage)));
  row_seed_ = Mix(static_cast<uint64_t>(context.subtask));
  // At another parallelism the rows go elsewhere, and nothing can be chosen as before; but no
  // number is used twice.
  for (const RestoredSnapshot& restored : context.restore->snapshots) {
    const StateSnapshot& snapshot = restored.snapshot;
    if (snapshot.format.empty()) continue;
    ByteReader in(snapshot.inline_bytes);
    uint64_t rows = 0;
    if (snapshot.format != kFormat || !in.Varint(rows) || !in.done()) {
      return absl::FailedPreconditionError(
          fmt::format("operator '{}': its state was written as '{}', this version reads '{}'",
                      context.stage, snapshot.format, kFormat));
    }
    rows_ = std::max(rows_, rows);
  }
  return absl::OkStatus();
}

std::unique_ptr<Frozen> SampleBase::Freeze(CheckpointId) {
  if (rows_ == 0) return nullptr;
  StateSnapshot snapshot;
  snapshot.format = kFormat;
  PutVarint(rows_, snapshot.inline_bytes);
  return std::make_unique<FrozenSnapshot>(std::move(snapshot));
}

}  // namespace weir
