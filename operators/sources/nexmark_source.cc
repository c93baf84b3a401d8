#include "operators/sources/nexmark_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/hash.h"
#include "operators/pace.h"

namespace weir {
namespace {

// Numbers that follow each other in one split.
constexpr uint64_t kBlockEvents = 1000;

constexpr const char* kSplitsState = "splits";

// A name whose key group is the index's share of all groups.
std::string SplitName(int index, int splits) {
  const int group = index * kKeyGroups / splits;
  for (int i = 0;; ++i) {
    std::string name = fmt::format("{}-{}", index, i);
    if (KeyGroupOf(Hash64(name)) == group) return name;
  }
}

}  // namespace

NexmarkSource::NexmarkSource(const NexmarkOptions& options)
    : options_(options),
      end_(options.events > 0 ? options.events : NexmarkEventsMax(options)),
      generator_(options) {}

StatusOr<StateDescription> NexmarkSource::DescribeState() {
  return DescribeKeyedState([](KeyedStore& store) {
    return ValueState<uint64_t>::Register(store, kSplitsState).status();
  });
}

Status NexmarkSource::Open(OperatorContext& context) {
  WEIR_CHECK(context.keyed != nullptr);
  clock_ = &context.env->clock;
  WEIR_ASSIGN_OR_RETURN(made_, ValueState<uint64_t>::Register(*context.keyed, kSplitsState));
  for (int index = 0; index < options_.splits; ++index) {
    Split split{index, SplitName(index, options_.splits), 0};
    const StateKey key = MakeStateKey(split.name);
    if (!context.key_groups.Contains(KeyGroupOf(key.hash))) continue;
    WEIR_ASSIGN_OR_RETURN(const std::optional<uint64_t> made, made_.Get(key));
    split.made = made.value_or(0);
    events_ += split.made;
    const uint64_t next = NumberOf(index, split.made);
    if (next < end_) next_.push({next, splits_.size()});
    splits_.push_back(std::move(split));
  }
  if (options_.rate > 0 && !splits_.empty()) {
    const double share = static_cast<double>(splits_.size()) / options_.splits;
    limiter_.emplace(options_.rate * share, clock_->MonotonicMicros());
  }
  MoveWatermark();
  return absl::OkStatus();
}

uint64_t NexmarkSource::NumberOf(int split, uint64_t nth) const {
  const uint64_t block = nth / kBlockEvents * options_.splits + split;
  return block * kBlockEvents + nth % kBlockEvents;
}

StatusOr<PollResult> NexmarkSource::Poll(Output& out) {
  if (next_.empty()) return PollResult{PollResult::kFinished};
  Split& split = splits_[next_.top().second];
  const uint64_t number = next_.top().first;
  uint64_t n = std::min(kBlockEvents - number % kBlockEvents, end_ - number);
  n = std::clamp<uint64_t>(BatchBytesFor(out) / row_bytes_, 1, n);
  if (limiter_) {
    n = limiter_->Allowed(clock_->MonotonicMicros(), n);
    if (n == 0) return PollResult{PollResult::kIdle, limiter_->NextTime()};
    limiter_->Take(n);
  }
  auto batch = std::make_unique<Batch<NexmarkEvent>>();
  generator_.Generate(number, n, *batch);
  split.made += n;
  events_ += n;
  WEIR_RETURN_IF_ERROR(made_.Set(MakeStateKey(split.name), split.made));
  const uint64_t next = NumberOf(split.index, split.made);
  const size_t at = next_.top().second;
  next_.pop();
  if (next < end_) next_.push({next, at});
  MoveWatermark();
  row_bytes_ = std::max<size_t>(1, batch->bytes() / n);
  out.Emit(0, std::move(batch));
  return PollResult{PollResult::kMore};
}

void NexmarkSource::MoveWatermark() {
  if (next_.empty()) return;
  watermark_ = std::max(watermark_, generator_.EarliestFrom(next_.top().first) - 1);
}

SourceProgress NexmarkSource::progress() const {
  const double bytes = NexmarkEventBytes(options_);
  SourceProgress progress{static_cast<uint64_t>(static_cast<double>(events_) * bytes), 0};
  if (options_.events > 0) {
    const double share = static_cast<double>(splits_.size()) / options_.splits;
    progress.total_bytes =
        static_cast<uint64_t>(static_cast<double>(options_.events) * share * bytes);
  }
  return progress;
}

}  // namespace weir
