// ProcessOperator: user code with keyed state, called row by row.
//
//   struct CountFlights {
//     ValueState<int64_t> count;
//     Status Open(KeyedStore& store) {
//       WEIR_ASSIGN_OR_RETURN(count, ValueState<int64_t>::Register(store, "count"));
//       return absl::OkStatus();
//     }
//     Status Process(const Flight& flight, ProcessContext<Count>& context) {
//       WEIR_ASSIGN_OR_RETURN(auto before, count.Get(context.key()));
//       const int64_t now = before.value_or(0) + 1;
//       WEIR_RETURN_IF_ERROR(count.Set(context.key(), now));
//       context.Emit(Count{flight.origin, now});
//       return absl::OkStatus();
//     }
//   };
//
// Open() registers the states, with the store that it is given, which outlives the function.
// Process() may read and write the states of context.key() only: other keys may live elsewhere.
// A row that fails, by Status or by exception, is rejected: neither its outputs nor its writes nor
// its timers are left behind. A failure of the store itself fails the job's attempt, whatever
// Process() returns.
//
// A function may have timers, which are state too. It then has
//
//   Status OnTimer(TimerKind kind, Timestamp time, ProcessContext<Count>& context);
//
// called once for each timer that context.SetTimer() set: of event time when the watermark has
// reached it, of processing time when the wall clock has; in order of their times; also after a
// restart. A clock that jumps back delays them, one that jumps ahead fires them early. A timer for
// the same kind, key and time is one timer. Timers of processing time that still wait when the
// input has ended are not fired: a bounded job does not wait for the clock. What a call puts out
// has the time of its timer of event time; for one of processing time it is the first that is not
// late, just above the watermark. A call that fails is rejected like a row, with the key as its
// record, and its timer is gone.
//
// `KeyFn` is K(const In&): the key by which the stream was keyed. All states are prefetched for the
// keys of a batch at once. A call puts out about limits::kBatchRowsDefault rows and then asks for
// Resume().
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "operators/transforms/collector.h"
#include "operators/transforms/key_column.h"
#include "operators/transforms/keyed_timers.h"
#include "operators/transforms/row_transaction.h"
#include "operators/transforms/user_call.h"
#include "state/keyed_state.h"

namespace weir {

// What Process() knows of its row. Valid for the length of the call.
template <class Out>
class ProcessContext {
 public:
  // `timers` is null if the function has no OnTimer().
  ProcessContext(const StateKey& key, Timestamp watermark, Collector<Out>& collector,
                 internal::KeyedTimers* timers)
      : key_(key), watermark_(watermark), collector_(collector), timers_(timers) {}

  const StateKey& key() const { return key_; }
  Timestamp time() const { return collector_.time(); }  // of the row
  Timestamp watermark() const { return watermark_; }    // the last one before the row
  // For key(). FailedPrecondition if the function has no OnTimer().
  Status SetTimer(TimerKind kind, Timestamp time) {
    if (timers_ == nullptr) {
      return absl::FailedPreconditionError("a timer was set, but the function has no OnTimer()");
    }
    return timers_->Set(kind, key_, time);
  }
  Status RemoveTimer(TimerKind kind, Timestamp time) {
    return timers_ == nullptr ? absl::OkStatus() : timers_->Remove(kind, key_, time);
  }
  // As Collector has them.
  void Emit(Out row) { collector_.Emit(std::move(row)); }
  void Emit(Out row, Timestamp time) { collector_.Emit(std::move(row), time); }
  std::string_view Keep(std::string_view bytes) { return collector_.Keep(bytes); }

 private:
  const StateKey& key_;
  const Timestamp watermark_;
  Collector<Out>& collector_;
  internal::KeyedTimers* const timers_;
};

namespace internal {

template <class Function, class Out>
concept HasTimers = requires(Function& function, ProcessContext<Out>& context) {
  { function.OnTimer(TimerKind{}, Timestamp{}, context) } -> std::same_as<Status>;
};
// A misspelt signature is not taken for a function without timers.
template <class Function>
concept NamesOnTimer = requires {
  &Function::OnTimer;
};

}  // namespace internal

template <class In, class Out, class Function, class KeyFn>
class ProcessOperator final : public Operator {
  static constexpr bool kHasTimers = internal::HasTimers<Function, Out>;
  static_assert(kHasTimers || !internal::NamesOnTimer<Function>,
                "OnTimer must be Status OnTimer(TimerKind, Timestamp, ProcessContext<Out>&)");

 public:
  ProcessOperator(Function function, KeyFn key_fn)
      : function_(std::move(function)), row_keys_(std::move(key_fn)) {}

  // What the function's Open() registers, with a store that holds nothing.
  StatusOr<StateDescription> DescribeState() override {
    return DescribeKeyedState([this](KeyedStore& store) -> Status {
      Function function = function_;
      WEIR_RETURN_IF_ERROR(internal::GuardedCall([&] { return function.Open(store); }));
      if constexpr (kHasTimers) {
        WEIR_RETURN_IF_ERROR(internal::KeyedTimers().Open(store, KeyGroupRange{0, 0}));
      }
      return absl::OkStatus();
    });
  }

  Status Open(OperatorContext& context) override {
    WEIR_CHECK(context.keyed != nullptr);  // the stage asks for keyed state
    clock_ = &context.env->clock;
    wakes_ = context.timers;
    row_ = std::make_unique<internal::RowTransaction>(*context.keyed);
    WEIR_RETURN_IF_ERROR(function_.Open(*row_));
    if constexpr (kHasTimers) {
      WEIR_RETURN_IF_ERROR(timers_.Open(*row_, context.key_groups));
      WakeForTimers();
    }
    return absl::OkStatus();
  }

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    WEIR_CHECK(input_ == nullptr && !firing_);  // Resume() comes first
    input_ = std::move(batch);
    next_ = 0;
    row_keys_.Read(Batch<In>::Of(std::as_const(*input_)), out);
    return Resume(out);
  }

  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override {
    watermark_ = watermark;
    return Fire(TimerKind::kEventTime, watermark, out);
  }

  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp, Output& out) override {
    return Fire(kind, clock_->Now(), out);
  }

  StatusOr<Progress> Resume(Output& out) override {
    if (input_ == nullptr && !firing_) return Progress::kDone;
    if (!ready_) {
      WEIR_ASSIGN_OR_RETURN(ready_, row_->Ready());
      if (!ready_) return Progress::kBlocked;
      if constexpr (kHasTimers) {
        if (firing_) {
          timers_.DueKeys(firing_->first, firing_->second, limits::kBatchRowsDefault, timer_keys_);
        }
      }
      WEIR_RETURN_IF_ERROR(row_->PrefetchAll(firing_ ? timer_keys_ : row_keys_.keys()));
    }
    WEIR_ASSIGN_OR_RETURN(const bool done, input_ != nullptr ? ProcessSome(out) : FireSome(out));
    if (!done) return Progress::kMoreOutput;
    ready_ = false;
    if constexpr (kHasTimers) WakeForTimers();
    return Progress::kDone;
  }

 private:
  // Rows until the output is full. True: that was all.
  StatusOr<bool> ProcessSome(Output& out) {
    const Batch<In>& in = Batch<In>::Of(std::as_const(*input_));
    for (; next_ < in.rows() && builder_.rows() < limits::kBatchRowsDefault; ++next_) {
      if (!row_keys_.has_key(next_)) continue;
      const Status status = CallFor(
          row_keys_.keys()[next_], in.times()[next_],
          [&](ProcessContext<Out>& context) { return function_.Process(in[next_], context); });
      WEIR_RETURN_IF_ERROR(row_->failure());
      if (!status.ok()) internal::RejectRow(in[next_], in.times()[next_], status, out);
    }
    out.Emit(0, builder_.Take(in.slabs()));
    if (next_ < in.rows()) return false;
    input_ = nullptr;
    return true;
  }

  StatusOr<Progress> Fire(TimerKind kind, Timestamp until, Output& out) {
    if constexpr (!kHasTimers) return Progress::kDone;
    WEIR_CHECK(input_ == nullptr && !firing_);
    if (timers_.Due(kind, until) == nullptr) {
      WakeForTimers();
      return Progress::kDone;
    }
    firing_ = {kind, until};
    return Resume(out);
  }

  // The same for the timers that are due.
  StatusOr<bool> FireSome(Output& out) {
    if constexpr (kHasTimers) {
      // No structured binding: clang 14 lets no lambda take one.
      const TimerKind kind = firing_->first;
      const Timestamp until = firing_->second;
      for (size_t fired = 0; fired < limits::kBatchRowsDefault; ++fired) {
        const internal::KeyedTimers::Timer* due = timers_.Due(kind, until);
        if (due == nullptr) {
          firing_.reset();
          break;
        }
        if (builder_.rows() >= limits::kBatchRowsDefault) break;
        const internal::KeyedTimers::Timer timer = *due;
        const Timestamp time = kind == TimerKind::kEventTime ? timer.time
                               : watermark_ == kMinTimestamp ? until
                               : watermark_ == kMaxTimestamp ? watermark_
                                                             : watermark_ + 1;
        const Status status =
            CallFor(timer.state_key(), time, [&](ProcessContext<Out>& context) -> Status {
              WEIR_RETURN_IF_ERROR(timers_.Remove(kind, timer.state_key(), timer.time));
              return function_.OnTimer(kind, timer.time, context);
            });
        WEIR_RETURN_IF_ERROR(row_->failure());
        if (status.ok()) continue;
        WEIR_RETURN_IF_ERROR(timers_.Remove(kind, timer.state_key(), timer.time));
        WEIR_RETURN_IF_ERROR(row_->Commit());
        WEIR_RETURN_IF_ERROR(timers_.Commit());
        out.Reject("timer at " + FormatTimestamp(timer.time) + ": " +
                       std::string(internal::ErrorText(status)),
                   timer.key, time);
      }
      out.Emit(0, builder_.Take({}));
      ready_ = false;  // a fan-out of timers writes much
      return !firing_;
    }
    return true;
  }

  // One call of user code, with all it leaves behind or nothing of it; what it returned. Whether
  // the store could take it is in row_->failure().
  template <class Call>
  Status CallFor(const StateKey& key, Timestamp time, Call call) {
    ProcessContext<Out> context(key, watermark_, builder_.BeginRow(time),
                                kHasTimers ? &timers_ : nullptr);
    Status status = internal::GuardedCall([&]() -> Status { return call(context); });
    if (status.ok() && row_->failure().ok()) {
      row_->Commit().IgnoreError();  // it is in failure()
      builder_.CommitRow();
      if constexpr (kHasTimers) row_->Note(timers_.Commit()).IgnoreError();  // likewise
    } else {
      row_->Abort();
      builder_.DropRow();
      if constexpr (kHasTimers) timers_.Abort();
    }
    return status;
  }

  void WakeForTimers() {
    if (auto earliest = timers_.earliest(TimerKind::kProcessingTime)) {
      wakes_->SetProcessingTimer(*earliest);
    }
  }

  Function function_;
  Clock* clock_ = nullptr;
  TimerService* wakes_ = nullptr;
  std::unique_ptr<internal::RowTransaction> row_;
  internal::KeyedTimers timers_;
  RowBuilder<Out> builder_;
  Timestamp watermark_ = kMinTimestamp;

  // Between a call that did not return kDone and the last one: the input batch, or the timers that
  // fire, up to a time; else neither.
  BatchPtr input_;
  std::optional<std::pair<TimerKind, Timestamp>> firing_;
  bool ready_ = false;  // the store is, for what is under way
  size_t next_ = 0;
  KeyColumn<In, KeyFn> row_keys_;
  std::vector<StateKey> timer_keys_;  // of those that fire
};

}  // namespace weir
