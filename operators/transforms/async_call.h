// What an async call and its client share with the operator (async.h): a place for answers that
// outlives the operator, so that an answer that comes late, or never, hurts nobody.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/status.h"

namespace weir {

namespace internal {

// Answers of one operator's calls. Any thread may Put(); the operator's task takes.
template <class U>
class AsyncInbox {
 public:
  struct Answer {
    uint64_t call = 0;
    StatusOr<U> result;
  };
  explicit AsyncInbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void Put(uint64_t call, StatusOr<U> result) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    answers_.push_back({call, std::move(result)});
    if (answers_.size() == 1) wake_();
  }
  std::vector<Answer> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(answers_, {});
  }
  // Nothing is kept any more, and nobody is woken.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    answers_.clear();
  }

 private:
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<Answer> answers_;  // guarded by mutex_
  bool closed_ = false;          // guarded by mutex_
};

}  // namespace internal

// The answer to one call, as its client is given it: call it once, from any thread, also from
// within the call. Copies are the same answer; later ones are ignored, as are those that come after
// the call's time is up. If all copies are gone without one, the call has failed. Keeps alive the
// row that the call was about.
template <class U>
class AsyncReply {
 public:
  void operator()(StatusOr<U> result) const { call_->Answer(std::move(result)); }
  // Nobody waits for the answer any more: work that has not begun need not.
  bool given_up() const { return call_->given_up.load(std::memory_order_relaxed); }

  // By the operator.
  struct Call {
    Call(std::shared_ptr<internal::AsyncInbox<U>> to, uint64_t call,
         std::shared_ptr<const void> row)
        : inbox(std::move(to)), number(call), keep_alive(std::move(row)) {}
    ~Call() { Answer(absl::UnavailableError("the client has dropped the call without an answer")); }
    void Answer(StatusOr<U> result) {
      if (!answered.exchange(true)) inbox->Put(number, std::move(result));
    }
    const std::shared_ptr<internal::AsyncInbox<U>> inbox;
    const uint64_t number;
    const std::shared_ptr<const void> keep_alive;
    std::atomic<bool> answered = false;
    std::atomic<bool> given_up = false;
  };
  explicit AsyncReply(std::shared_ptr<Call> call) : call_(std::move(call)) {}

 private:
  std::shared_ptr<Call> call_;
};

}  // namespace weir
