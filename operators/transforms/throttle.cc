#include "operators/transforms/throttle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace weir {
namespace {

constexpr const char* kBucketState = "bucket";
constexpr int64_t kCreditsMax = int64_t{1} << 61;  // so that sums of two do not overflow

int64_t Burst(const ThrottleOptions& options) {
  return options.burst == 0 ? options.rows : options.burst;
}

}  // namespace

std::string ToText(const ThrottleOptions& options) {
  return fmt::format("rows={} per={} burst={} time={} over={}", options.rows,
                     FormatDuration(options.per), Burst(options),
                     options.time == ThrottleTime::kArrival ? "arrival" : "event",
                     options.over == OverLimit::kDrop ? "drop" : "side");
}

Status Validate(const ThrottleOptions& options) {
  if (options.rows < 1 || options.per < 1 || options.burst < 0) {
    return absl::InvalidArgumentError(fmt::format(
        "throttle: {} rows per {} us with a burst of {}; rows and time must be positive",
        options.rows, options.per, options.burst));
  }
  if (Burst(options) > kCreditsMax / options.per || options.rows > kCreditsMax / options.per) {
    return absl::InvalidArgumentError(
        fmt::format("throttle: {} rows per {} are more than can be counted; ask for fewer rows in "
                    "less time",
                    std::max(options.rows, Burst(options)), FormatDuration(options.per)));
  }
  return absl::OkStatus();
}

ThrottleBase::ThrottleBase(ThrottleOptions options)
    : options_(options),
      token_(options.per),
      full_(Validate(options).ok() ? Burst(options) * options.per : 0) {}

StatusOr<StateDescription> ThrottleBase::DescribeState() {
  return DescribeKeyedState(
      [](KeyedStore& store) { return ValueState<Bucket>::Register(store, kBucketState).status(); });
}

Status ThrottleBase::Open(OperatorContext& context) {
  WEIR_RETURN_IF_ERROR(Validate(options_));
  WEIR_CHECK(context.keyed != nullptr);  // the stage asks for keyed state
  counters_ = context.counters;
  counters_->Named("throttled");
  store_ = context.keyed;
  if (options_.time == ThrottleTime::kArrival) arrival_.emplace(context.env->clock);
  const Duration ttl = full_ / options_.rows + Hours(24);
  WEIR_ASSIGN_OR_RETURN(buckets_,
                        ValueState<Bucket>::Register(*store_, kBucketState, {.ttl = ttl}));
  return absl::OkStatus();
}

StatusOr<Progress> ThrottleBase::Process(int, BatchPtr batch, Output& out) {
  WEIR_CHECK(waiting_ == nullptr);
  waiting_ = std::move(batch);
  return Resume(out);
}

StatusOr<Progress> ThrottleBase::Resume(Output& out) {
  if (waiting_ == nullptr) return Progress::kDone;
  WEIR_ASSIGN_OR_RETURN(const bool ready, store_->Ready());
  if (!ready) return Progress::kBlocked;
  BatchPtr batch = std::move(waiting_);
  const auto [keys, has_keys] = ReadKeys(*batch, out);
  WEIR_RETURN_IF_ERROR(buckets_.Prefetch(keys));
  const Timestamp now = arrival_ ? arrival_->Now() : 0;
  verdicts_.clear();
  for (size_t i = 0; i < keys.size(); ++i) {
    Verdict verdict = Verdict::kRejected;
    if (has_keys[i]) {
      Status fits = CheckStateSizes(kBucketState, keys[i], {}, {});
      if (fits.ok()) {
        WEIR_ASSIGN_OR_RETURN(verdict, Judge(keys[i], arrival_ ? now : batch->times()[i]));
      } else {
        RejectRow(*batch, i, fits, out);
      }
    }
    verdicts_.push_back(verdict);
  }
  Emit(std::move(batch), out);
  return Progress::kDone;
}

StatusOr<ThrottleBase::Verdict> ThrottleBase::Judge(const StateKey& key, Timestamp time) {
  WEIR_ASSIGN_OR_RETURN(const auto bucket, buckets_.Get(key));
  auto [credits, last] = bucket.value_or(std::tuple(full_, time));
  credits = std::min(credits, full_);  // the limit may have been another one
  if (time > last) {
    // Event times may be ages apart.
    const auto passed = static_cast<uint64_t>(time) - static_cast<uint64_t>(last);
    const auto to_fill = static_cast<uint64_t>((full_ - credits) / options_.rows + 1);
    credits = passed >= to_fill
                  ? full_
                  : std::min(full_, credits + static_cast<int64_t>(passed) * options_.rows);
    last = time;
  } else if (arrival_ && time < last) {
    last = time;  // another machine's clock had been ahead; what it says then must not count
  } else if (credits < token_) {
    return Verdict::kOver;
  }
  const bool pass = credits >= token_;
  if (pass) credits -= token_;
  WEIR_RETURN_IF_ERROR(buckets_.Set(key, {credits, last}));
  return pass ? Verdict::kPass : Verdict::kOver;
}

void ThrottleBase::Emit(BatchPtr batch, Output& out) {
  const size_t over = std::count(verdicts_.begin(), verdicts_.end(), Verdict::kOver);
  counters_->Named("throttled") += over;
  if (std::count(verdicts_.begin(), verdicts_.end(), Verdict::kPass) ==
      static_cast<int64_t>(verdicts_.size())) {
    out.Emit(0, std::move(batch));
    return;
  }
  std::vector<uint16_t> targets;
  for (Verdict verdict : verdicts_) targets.push_back(static_cast<uint16_t>(verdict));
  std::array<BatchPtr, 3> parts;  // by verdict
  batch->Scatter(targets, parts);
  if (parts[0] != nullptr) {
    CompactIfSparse(parts[0]);
    out.Emit(0, std::move(parts[0]));
  }
  if (options_.over == OverLimit::kDrop) {
    counters_->dropped += over;
  } else if (parts[1] != nullptr) {
    CompactIfSparse(parts[1]);
    out.Emit(kThrottledPort, std::move(parts[1]));
  }
}

}  // namespace weir
