// Async: a bounded number of calls to something outside, an answer for each row.
//
//   // A function that blocks, called on threads of the operator's own, several at a time:
//   auto look_up = [client](const Order& o) -> StatusOr<Priced> { return client->Price(o.item); };
//   // Or a client that calls back, called on the task's thread, where it must not block:
//   auto send = [client](const Order& o, AsyncReply<Priced> reply) {
//     client->Send(o.item, [reply](StatusOr<Priced> priced) { reply(std::move(priced)); });
//   };
//
// `concurrency` calls of an instance are under way at a time; while so many are, the operator
// is kBlocked. Answers leave in the order of the rows, or, with ordered = false, as they come (then
// rows of one key may overtake each other). No watermark overtakes a row. At a barrier all calls
// are waited for, so nothing of them is state; after a crash the calls behind the last checkpoint
// are made again: what they do outside must bear that.
//
// An attempt takes at most `timeout`, by the monotonic clock. One that fails with Unavailable,
// DeadlineExceeded (also when its time is up), ResourceExhausted or Aborted is made again,
// `retries` times at most, after a pause that doubles from backoff_min to backoff_max. A call that
// fails for good, with another code at once, rejects its row. An exception is the code Unknown.
//
// A function that blocks must bear to be called from several threads at once.
//
// A call that never returns costs its row the timeouts and, of a blocking function, a thread; it
// holds up neither barrier nor the end of the job for longer (call_threads.h). Rows and a copy of
// the function live as long as the calls that see them.
//
// `U` owns its bytes or points into the row. Counters: calls, retries, timeouts.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/crash_site.h"
#include "core/row_codec.h"
#include "operators/operator.h"
#include "operators/transforms/async_call.h"
#include "operators/transforms/call_threads.h"
#include "operators/transforms/held_watermarks.h"
#include "operators/transforms/user_call.h"

namespace weir {

struct AsyncOptions {
  size_t concurrency = 16;  // of each instance, at most limits::kAsyncConcurrencyMax
  bool ordered = true;
  Duration timeout = Seconds(30);
  int retries = 3;
  Duration backoff_min = Milliseconds(100);
  Duration backoff_max = Seconds(10);
  // A shadow calls as well, and does no harm by it: it only asks. Without this a shadow is refused.
  bool safe_in_shadow = false;
};

// "concurrency=16 ordered timeout=30s retries=3 backoff=100ms..10s".
std::string ToText(const AsyncOptions& options);
// InvalidArgument says what is wrong.
Status Validate(const AsyncOptions& options);

namespace internal {

bool IsWorthARetry(const Status& status);
// In front of try `attempt`, which is 2 for the first one that is made again.
Duration BackoffBefore(int attempt, const AsyncOptions& options);

}  // namespace internal

template <class T, class U, class Fn>
class AsyncOperator final : public Operator {
  static constexpr bool kCallsBack = std::is_invocable_v<Fn&, const T&, AsyncReply<U>>;
  static constexpr size_t kPlacesPerCall = 64;
  static_assert(kCallsBack || std::is_invocable_r_v<StatusOr<U>, Fn&, const T&>,
                "an async function is StatusOr<U>(const T&) or void(const T&, AsyncReply<U>)");

 public:
  AsyncOperator(AsyncOptions options, Fn fn)
      : options_(options), fn_(std::make_shared<Fn>(std::move(fn))) {}
  ~AsyncOperator() override { Close(); }

  Status Open(OperatorContext& context) override {
    WEIR_RETURN_IF_ERROR(Validate(options_));
    clock_ = &context.env->clock;
    timers_ = context.timers;
    calls_ = &context.counters->Named("calls");
    retries_ = &context.counters->Named("retries");
    timeouts_ = &context.counters->Named("timeouts");
    stage_ = std::make_shared<const std::string>(context.stage);
    subtask_ = context.subtask;
    inbox_ =
        std::make_shared<internal::AsyncInbox<U>>([wake = context.wake, notify = context.notify] {
          wake();
          if (notify) notify();
        });
    if constexpr (!kCallsBack) threads_ = std::make_unique<CallThreads>(options_.concurrency);
    return absl::OkStatus();
  }

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    WEIR_CHECK(input_ == nullptr);  // Resume() comes first
    input_ = std::shared_ptr<const BatchBase>(std::move(batch));
    next_row_ = 0;
    return Advance(out);
  }
  StatusOr<Progress> Resume(Output& out) override { return Advance(out); }
  StatusOr<Progress> OnTimer(TimerKind, Timestamp, Output& out) override { return Advance(out); }
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output&) override {
    watermarks_.Add(watermark, rows_, RowsOut());
    return Progress::kDone;
  }
  Timestamp OutputWatermark(Timestamp input) const override {
    return watermarks_.OutputWatermark(input);
  }
  StatusOr<Progress> Drain(DrainReason, Output& out) override {
    draining_ = true;
    return Advance(out);
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId) override {
    WEIR_CHECK(under_way_.empty());  // Drain() came before
    return nullptr;
  }
  void Close() override {
    if (inbox_) inbox_->Close();
    for (Row& row : under_way_) GiveUp(row);
    threads_.reset();
  }

 private:
  using Call = typename AsyncReply<U>::Call;
  struct Row {
    std::shared_ptr<const BatchBase> batch;
    size_t index = 0;
    int attempt = 0;
    uint64_t call = 0;           // the attempt under way; 0: it waits to be made again, or is done
    std::weak_ptr<Call> answer;  // of that attempt
    int64_t due = 0;             // when its time or its pause is over
    std::optional<StatusOr<U>> result;
    bool gone = false;  // out, while rows in front of it are not
  };

  const T& RowOf(const Row& row) const { return Batch<T>::Of(*row.batch)[row.index]; }

  // Everything there is to do now.
  StatusOr<Progress> Advance(Output& out) {
    const int64_t now = clock_->MonotonicMicros();
    auto made = std::make_unique<Batch<U>>();
    // A client may answer within the call, so that there is something again.
    for (bool more = true; more;) {
      TakeAnswers(now);
      ExpireTimes(now);
      Emit(*made, out);
      more = StartSome(now);
    }
    made->AddViewBytes(std::exchange(view_bytes_, 0));
    BatchPtr answers = std::move(made);
    codec_->CompactIfSparse(answers);
    out.Emit(0, std::move(answers));
    if (!due_.empty()) {
      timers_->SetWakeUp(due_.begin()->first);
      if (due_.begin()->first < timer_ || timer_ <= now) {
        timer_ = due_.begin()->first;
        timers_->SetDelayTimer(timer_);
      }
    }
    if (input_ != nullptr) return Progress::kBlocked;
    if (draining_ && !under_way_.empty()) return Progress::kBlocked;
    draining_ = false;
    return Progress::kDone;
  }

  // Starts calls for the rows of the input while there is room. True if it has started any.
  bool StartSome(int64_t now) {
    bool any = false;
    // Answers that overtake leave a row's place behind, and of these there is a limit, too.
    const size_t places = options_.concurrency * (options_.ordered ? 1 : kPlacesPerCall);
    while (next_row_ < input_rows() && busy_ < options_.concurrency && under_way_.size() < places) {
      const uint64_t number = rows_++;
      Row& row = under_way_.emplace_back();
      row.batch = input_;
      row.index = next_row_++;
      ++busy_;
      Start(number, row, now);
      any = true;
    }
    if (next_row_ == input_rows()) input_ = nullptr;
    return any;
  }
  size_t input_rows() const { return input_ == nullptr ? next_row_ : input_->rows(); }

  void Start(uint64_t number, Row& row, int64_t now) {
    ++*calls_;
    ++row.attempt;
    row.call = ++last_call_;
    SetDue(number, row, now + options_.timeout);
    row_of_call_[row.call] = number;
    auto call = std::make_shared<Call>(inbox_, row.call, row.batch);
    row.answer = call;
    AsyncReply<U> reply(std::move(call));
    const T& value = RowOf(row);
    if constexpr (kCallsBack) {
      Status status = internal::GuardedCall([&] {
        (*fn_)(value, reply);
        return absl::OkStatus();
      });
      if (!status.ok()) reply(std::move(status));
    } else {
      threads_->Submit([reply, &value, fn = fn_, stage = stage_, subtask = subtask_] {
        if (reply.given_up()) return;
        const CrashScope here(stage->c_str(), subtask);
        StatusOr<U> result = absl::UnknownError("");
        Status status = internal::GuardedCall([&]() -> Status {
          result = (*fn)(value);
          return absl::OkStatus();
        });
        reply(status.ok() ? std::move(result) : StatusOr<U>(std::move(status)));
      });
    }
  }

  void TakeAnswers(int64_t now) {
    for (auto& answer : inbox_->Take()) {
      const auto found = row_of_call_.find(answer.call);
      if (found == row_of_call_.end()) continue;  // its time was up
      const uint64_t number = found->second;
      End(number, RowAt(number), std::move(answer.result), now);
    }
  }

  void ExpireTimes(int64_t now) {
    while (!due_.empty() && due_.begin()->first <= now) {
      const uint64_t number = due_.begin()->second;
      Row& row = RowAt(number);
      if (row.call == 0) {  // a pause is over
        due_.erase(due_.begin());
        Start(number, row, now);
        continue;
      }
      ++*timeouts_;
      GiveUp(row);
      End(number, row,
          absl::DeadlineExceededError("no answer within " + FormatDuration(options_.timeout)), now);
    }
  }

  // The attempt under way has an answer, or will have none.
  void End(uint64_t number, Row& row, StatusOr<U> result, int64_t now) {
    row_of_call_.erase(row.call);
    row.call = 0;
    due_.erase({row.due, number});
    if (result.ok() || row.attempt > options_.retries ||
        !internal::IsWorthARetry(result.status())) {
      row.result = std::move(result);
      if (!options_.ordered) finished_.push_back(number);
      return;
    }
    ++*retries_;
    SetDue(number, row, now + internal::BackoffBefore(row.attempt + 1, options_));
  }

  // Adds to `made` what may leave, and rejects rows whose call has failed.
  void Emit(Batch<U>& made, Output& out) {
    for (uint64_t number : finished_) EmitRow(RowAt(number), made, out);
    finished_.clear();
    while (!under_way_.empty()) {
      Row& first = under_way_.front();
      if (first.result) EmitRow(first, made, out);
      if (!first.gone) break;
      under_way_.pop_front();
    }
    watermarks_.Release(RowsOut());
  }

  void EmitRow(Row& row, Batch<U>& made, Output& out) {
    const Timestamp time = row.batch->times()[row.index];
    if (row.result->ok()) {
      U value = **std::move(row.result);
      const size_t view_bytes = Codec<U>::ViewBytes(value);
      if (view_bytes > 0) made.slabs().Unite(row.batch->slabs());
      view_bytes_ += view_bytes;
      made.Add(std::move(value), time);
    } else {
      internal::RejectRow(RowOf(row), time, FinalError(row), out);
    }
    row = Row{.gone = true};
    --busy_;
  }

  Status FinalError(const Row& row) const {
    const Status& status = row.result->status();
    if (row.attempt == 1) return status;
    return Annotate(status, "failed " + std::to_string(row.attempt) + " times, the last time");
  }

  void GiveUp(const Row& row) {
    if (auto call = row.answer.lock()) call->given_up.store(true, std::memory_order_relaxed);
  }
  Row& RowAt(uint64_t number) { return under_way_[number - RowsOut()]; }
  uint64_t RowsOut() const { return rows_ - under_way_.size(); }
  void SetDue(uint64_t number, Row& row, int64_t due) {
    row.due = due;
    due_.insert({due, number});
  }

  const AsyncOptions options_;
  const std::shared_ptr<Fn> fn_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<U>();
  Clock* clock_ = nullptr;
  TimerService* timers_ = nullptr;
  uint64_t *calls_ = nullptr, *retries_ = nullptr, *timeouts_ = nullptr;  // counters
  std::shared_ptr<const std::string> stage_;
  int subtask_ = 0;
  std::shared_ptr<internal::AsyncInbox<U>> inbox_;
  std::unique_ptr<CallThreads> threads_;  // of a function that blocks

  std::shared_ptr<const BatchBase> input_;  // rows from next_row_ on wait for room
  size_t next_row_ = 0;
  bool draining_ = false;
  // Consecutive rows, the last one numbered rows_ - 1.
  std::deque<Row> under_way_;
  size_t busy_ = 0;                 // of them, those that are not gone
  std::vector<uint64_t> finished_;  // rows with a result, to be emitted out of order
  uint64_t rows_ = 0;               // begun so far
  HeldWatermarks watermarks_;
  uint64_t last_call_ = 0;
  absl::flat_hash_map<uint64_t, uint64_t> row_of_call_;
  std::set<std::pair<int64_t, uint64_t>> due_;  // (time, row)
  int64_t timer_ = 0;                           // the delay timer that was set last
  size_t view_bytes_ = 0;
};

}  // namespace weir
