// ChainNode: one operator instance inside a task, with its inbox, timers, counters and state. Used
// by the task that owns it (task.h), and only on its slot's thread, but for the instance's sink,
// whose Commit() is called on the I/O pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/built_job.h"
#include "operators/pace.h"
#include "runtime/exchange/exchange_writer.h"
#include "state/manifest.h"

namespace weir {

class NodeTimers final : public TimerService {
 public:
  void SetProcessingTimer(Timestamp time) override { processing_.insert(time); }
  void SetDelayTimer(int64_t time) override { delay_.insert(time); }
  void SetEventTimer(Timestamp time) override { event_.insert(time); }
  void SetWakeUp(int64_t time) override { wake_up_ = std::min(time, wake_up_.value_or(time)); }

  // Takes the earliest timer at or before `time`.
  std::optional<Timestamp> TakeProcessing(Timestamp time) { return Take(processing_, time); }
  std::optional<int64_t> TakeDelay(int64_t time) { return Take(delay_, time); }
  std::optional<Timestamp> TakeEvent(Timestamp time) { return Take(event_, time); }
  std::optional<Timestamp> next_processing() const {
    return processing_.empty() ? std::nullopt : std::optional(*processing_.begin());
  }
  void SpendWakeUp() { wake_up_.reset(); }
  std::optional<int64_t> wake_up() const { return wake_up_; }
  std::optional<int64_t> next_delay() const {
    return delay_.empty() ? std::nullopt : std::optional(*delay_.begin());
  }

 private:
  static std::optional<Timestamp> Take(std::set<Timestamp>& timers, Timestamp time);
  std::set<Timestamp> processing_;
  std::set<int64_t> delay_;
  std::set<Timestamp> event_;
  std::optional<int64_t> wake_up_;
};

// Takes a line that an operator says (OperatorContext::log). From any thread.
using OperatorLog =
    std::function<void(const std::string& stage, int subtask, std::string_view line)>;

class ChainNode;

// Where the rows of one edge go: into the inbox of a node of the same task, or to an
// ExchangeWriter.
struct NodeTarget {
  int port = 0;
  int edge = 0;
  int input_port = 0;
  ChainNode* node = nullptr;
  ExchangeWriter* writer = nullptr;
};

class ChainNode final : public Output, public Pace {
 public:
  struct Setup {
    int stage = 0;
    const BuiltJob* job = nullptr;
    bool encode_edges = false;
    bool heap_state = false;  // keyed state is kept in memory alone
    OperatorContext context;  // keyed, timers, counters, log and restore are set by the node
    OperatorLog notice;       // null: nobody listens
    Restore restore;          // of the operator
    Restore keyed_restore;
  };
  explicit ChainNode(Setup setup);

  Status Open();
  // Another version of the stage's resource, for the rows that come from now on.
  Status Reload(const Reloaded& reloaded);

  // Output. Called by the operator while one of the calls below runs.
  void Emit(int port, BatchPtr batch) override;
  void Reject(std::string_view error, std::string_view record, Timestamp time) override;
  size_t batch_bytes() const override;  // Pace

  // What the node has to do next, on its own account.
  bool waiting() const { return waiting_; }  // for room downstream or a wake-up
  bool runnable(int64_t now_micros) const;   // some RunOnce() would do something
  // When it is woken without anybody's help; nullopt: it waits for no time.
  std::optional<int64_t> wake_up() const { return needs_wake_ ? timers_.wake_up() : std::nullopt; }
  bool pending_watermark() const;
  // Somebody called OperatorContext::wake since the last call that could hear it.
  bool woken() const { return woken_->load(std::memory_order_acquire); }

  // One call of the operator: Resume, the next batch, or the watermark. REQUIRES: runnable().
  Status RunOnce(int64_t now_micros);
  // A notification, or one timer that is due by the wall clock or, for delays, by `now_micros`.
  Status FireTimer(Timestamp wall, bool& fired, int64_t now_micros);
  // Calls Drain; it has finished once the node is not waiting().
  Status StartDrain(DrainReason reason, int64_t now_micros);
  StatusOr<PollResult> Poll(int64_t now_micros);  // of a source

  void Push(int input_port, BatchPtr batch) { inbox_.emplace_back(input_port, std::move(batch)); }
  // The watermark of the node's inputs; called by the task when an upstream node's output watermark
  // or the gate's has risen.
  void set_input_watermark(Watermark watermark) {
    input_watermark_ = watermark;
    if (source_) passed_watermark_ = watermark;
  }
  Watermark input_watermark() const { return input_watermark_; }
  Watermark output_watermark() const;

  const StageSpec& spec() const { return setup_.job->graph.stages[setup_.stage]; }
  int stage() const { return setup_.stage; }
  Operator* op() { return operator_.get(); }
  Source* source() { return source_.get(); }
  Sink* sink() { return sink_; }
  KeyedStore* keyed() { return keyed_.get(); }
  NodeTimers& timers() { return timers_; }
  std::vector<NodeTarget>& targets() { return targets_; }
  StageCounters counters() const;  // since the attempt began
  uint64_t busy_micros() const { return busy_micros_; }
  // "stage 'dedup' (subtask 1)".
  std::string where() const;
  void Close();

 private:
  StatusOr<std::unique_ptr<KeyedStore>> MakeKeyedStore();
  template <class Call>
  Status Guard(int64_t now_micros, Call call);
  Status Finish(const StatusOr<Progress>& progress);
  void SendDeadLetters();

  Setup setup_;
  OperatorCounters operator_counters_;
  NodeTimers timers_;
  std::unique_ptr<KeyedStore> keyed_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<Operator> operator_;
  Sink* sink_ = nullptr;  // inside operator_, if the stage is a sink
  std::vector<NodeTarget> targets_;

  std::deque<std::pair<int, BatchPtr>> inbox_;
  Watermark input_watermark_;
  Watermark passed_watermark_;  // as given to the operator
  bool waiting_ = false;
  bool needs_wake_ = false;  // Blocked, so Resume only after a wake-up
  std::shared_ptr<std::atomic<bool>> woken_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<bool>> notified_ = std::make_shared<std::atomic<bool>>(false);

  std::unique_ptr<Batch<DeadLetter>> dead_letters_;
  SlabArena dead_letter_bytes_;
  Status rejected_;  // why a row of a stage with the policy `fail` ends the job
  StageCounters counters_;
  uint64_t busy_micros_ = 0;
  int64_t call_started_micros_ = 0;
};

}  // namespace weir
