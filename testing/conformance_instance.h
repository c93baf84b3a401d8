// StageInstance: one instance of the operator or sink under test, with everything around it, called
// by the rules of operators/operator.h. Every call is checked; what it breaks goes to the Findings.
//
// Each call below returns when the operator is done with it, however often it has to be resumed.
// Internal to testing/; used by one thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operators/operator.h"
#include "runtime/worker/chain_node.h"
#include "state/state_description.h"
#include "testing/checked_store.h"
#include "testing/conformance.h"
#include "testing/held_pool.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"

namespace weir::testing {

// What was found while one run went on.
class Findings {
 public:
  Findings(ConformanceReport& report, std::string run) : report_(report), run_(std::move(run)) {}
  // The first of each rule is kept.
  void Add(Rule rule, std::string what);
  ConformanceReport& report() { return report_; }
  bool failed() const { return failed_; }
  void Failed(std::string what) {
    failed_ = true;
    Add(Rule::kNoFailure, std::move(what));
  }
  void NoteFreeze(int64_t nanos);
  // What a checkpoint holds of an instance, beside what its stage tells.
  void CheckDescribed(const StateDescription& told, const StateSnapshot& own,
                      const StateSnapshot& keyed);

  std::set<Timestamp> times;       // of all rows that came in
  std::set<Timestamp> late_times;  // of those that came behind the watermark

 private:
  ConformanceReport& report_;
  const std::string run_;
  std::set<Rule> seen_;
  bool failed_ = false;  // the run cannot go on
};

// What leaves in a run, as text.
struct RunOutput {
  std::vector<std::string> rows;
  std::vector<std::string> rejected;

  // Rows that left on a port at a time of the kit's clock. REQUIRES: the case has the port.
  void Add(const StageCase& stage, int port, const BatchBase& batch, int64_t clock);
};

// Empty: they are the same. `comparison` is of the rows; what is rejected has no order.
std::string Difference(const RunOutput& expected, const RunOutput& found,
                       const RowComparison& comparison);

// How the surroundings of an instance behave.
struct InstanceOptions {
  int subtask = 0;
  int parallelism = 1;
  uint32_t attempt = 1;
  bool hold_output = false;  // the outbox is emptied every other call
  bool busy = false;         // state is not ready at every other call; I/O waits; idle wake-ups
  Restore op;
  Restore keyed;
};

class StageInstance final : private Output {
 public:
  // All references outlive the instance.
  StageInstance(const StageCase& stage, InstanceOptions options, ManualClock& clock, HeldPool& pool,
                const std::string& local_dir, Findings& findings, RunOutput& output);
  ~StageInstance() override;

  void Open();
  void Reload(const Reloaded& reloaded);
  void Process(int port, BatchPtr batch);
  void Watermark(Timestamp time);  // fires timers of event time, then OnWatermark
  void FireTimers();               // notifications, and timers of both clocks that are due
  void Drain(DrainReason reason);
  // REQUIRES: drained.
  StatusOr<StateSnapshot> Write(std::unique_ptr<Frozen> frozen, MemorySnapshots& snapshots);
  std::unique_ptr<Frozen> FreezeOperator(CheckpointId checkpoint);
  std::unique_ptr<Frozen> FreezeKeyed(CheckpointId checkpoint);
  void OnCheckpointComplete(CheckpointId checkpoint) { op_->OnCheckpointComplete(checkpoint); }
  void Close();

  Sink* sink() { return sink_; }
  const StateDescription& description() const { return description_; }
  // The earliest time at which FireTimers() has something to do, by the monotonic clock.
  std::optional<int64_t> next_timer() const;
  // What leaves from now on is nobody's.
  void DiscardOutput() { discard_ = true; }
  const KeyGroupRange& key_groups() const { return context_.key_groups; }

 private:
  void Emit(int port, BatchPtr batch) override;
  void Reject(std::string_view error, std::string_view record, Timestamp time) override;

  StatusOr<std::unique_ptr<KeyedStore>> MakeStore();

  enum class Call { kNone, kInput, kEventTime, kClock, kNotified, kDrain };
  template <class Fn>
  void Run(Call call, const char* name, Fn fn);
  template <class Fn>
  std::optional<Progress> CallOnce(const char* name, Fn fn);
  bool AwaitWake(const char* name, uint64_t wakes);
  void FireNotified();
  void CheckEmitted(const BatchBase& batch);
  void CheckOutputWatermark();
  void TakeOutput();
  std::string Where(std::string_view call) const;

  const StageCase& stage_;
  const InstanceOptions options_;
  ManualClock& clock_;
  HeldPool& pool_;
  Findings& findings_;
  RunOutput& output_;
  Environment env_;
  OperatorContext context_;
  OperatorCounters counters_;
  NodeTimers timers_;
  Restore op_restore_;
  std::shared_ptr<std::atomic<uint64_t>> wakes_ = std::make_shared<std::atomic<uint64_t>>(0);
  std::shared_ptr<std::atomic<bool>> notified_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<KeyedStore> keyed_;
  std::unique_ptr<Operator> op_;
  Sink* sink_ = nullptr;
  StateDescription description_;

  Call call_ = Call::kNone;
  uint64_t calls_ = 0;
  bool ended_ = false;
  bool discard_ = false;
  Timestamp watermark_ = kMinTimestamp;  // that the operator has been told of
  Timestamp reached_ = kMinTimestamp;    // the same, or of the timer that fires
  Timestamp output_watermark_ = kMinTimestamp;
  struct Emitted {
    int port;
    BatchPtr batch;
    Timestamp clock;
  };
  std::vector<Emitted> outbox_;
};

}  // namespace weir::testing
