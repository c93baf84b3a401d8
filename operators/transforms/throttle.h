// Throttle: lets no more than so many rows of a key through in a given time.
//
//   auto tenant = [](const Event& e) { return e.tenant; };
//   Throttle<Event, decltype(tenant)> throttle({.rows = 100, .per = Seconds(1)}, tenant);
//
// Each key has a token bucket: it holds `burst` tokens at most, is full at first, and gains `rows`
// tokens in `per`, steadily. A row takes one; a row that finds none is over the limit and is
// dropped (counter "throttled"), or goes out on kThrottledPort instead. So of a key no more than
// burst + rows * t / per rows pass in any time t. Rows keep their order, times and key hashes.
//
// Time is that of arrival (operators/arrival_clock.h), or the rows' own event time, which gives the
// same result in every run as long as the rows of a key come in the same order. A row that is older
// than one before it finds the bucket as that one left it.
//
// The buckets are keyed state, exact across restarts at any parallelism. A key of which no row came
// for a day more than its bucket needs to fill is forgotten, which is the same as a full one.
//
// There is no mode that waits: rows that wait for tokens would hold up the barriers behind them for
// as long, or would have to be kept in bounded memory while their number is not bounded. To slow a
// whole job down, limit its source.
//
// A row whose key function fails, or whose key is over limits::kStateKeyBytesMax, is rejected.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/row_codec.h"
#include "operators/arrival_clock.h"
#include "operators/operator.h"
#include "operators/transforms/key_column.h"
#include "state/keyed_state.h"

namespace weir {

enum class ThrottleTime : uint8_t { kArrival, kEventTime };
enum class OverLimit : uint8_t { kDrop, kSide };

// Where rows over the limit go with OverLimit::kSide.
inline constexpr int kThrottledPort = 1;

struct ThrottleOptions {
  int64_t rows = 1000;  // of each key ...
  Duration per = Seconds(1);
  int64_t burst = 0;  // that may come at once; 0: as many as `rows`
  ThrottleTime time = ThrottleTime::kArrival;
  OverLimit over = OverLimit::kDrop;
};

// "rows=1000 per=1s burst=1000 time=arrival over=drop".
std::string ToText(const ThrottleOptions& options);
// InvalidArgument says what is wrong.
Status Validate(const ThrottleOptions& options);

// What does not depend on the row's type.
class ThrottleBase : public Operator {
 public:
  explicit ThrottleBase(ThrottleOptions options);

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;

 protected:
  // As KeyColumn has them. Valid until the next call.
  struct Keys {
    const std::vector<StateKey>& keys;
    const std::vector<uint8_t>& has_keys;
  };
  virtual Keys ReadKeys(const BatchBase& batch, Output& out) = 0;
  virtual void RejectRow(const BatchBase& batch, size_t row, const Status& status, Output& out) = 0;
  virtual void CompactIfSparse(BatchPtr& batch) = 0;

 private:
  using Bucket = std::tuple<int64_t, Timestamp>;  // credits, and when there were so many
  enum class Verdict : uint8_t { kPass, kOver, kRejected };
  StatusOr<Verdict> Judge(const StateKey& key, Timestamp time);
  void Emit(BatchPtr batch, Output& out);

  const ThrottleOptions options_;
  // A token is `per` credits and a microsecond brings `rows` of them, so that all is whole numbers.
  const int64_t token_;
  const int64_t full_;
  OperatorCounters* counters_ = nullptr;
  KeyedStore* store_ = nullptr;
  ValueState<Bucket> buckets_;
  std::optional<ArrivalClock> arrival_;  // set if that is the time
  BatchPtr waiting_;                     // taken while the store was full
  std::vector<Verdict> verdicts_;
};

template <class T, class KeyFn>
class Throttle final : public ThrottleBase {
 public:
  Throttle(ThrottleOptions options, KeyFn key) : ThrottleBase(options), keys_(std::move(key)) {}

 protected:
  Keys ReadKeys(const BatchBase& batch, Output& out) override {
    keys_.Read(Batch<T>::Of(batch), out);
    return {keys_.keys(), keys_.has_keys()};
  }
  void RejectRow(const BatchBase& batch, size_t row, const Status& status, Output& out) override {
    internal::RejectRow(Batch<T>::Of(batch)[row], batch.times()[row], status, out);
  }
  void CompactIfSparse(BatchPtr& batch) override { codec_->CompactIfSparse(batch); }

 private:
  KeyColumn<T, KeyFn> keys_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
};

}  // namespace weir
