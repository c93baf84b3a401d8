// StageRun: one run of an operator or sink over its whole input, disturbed in one way. Internal to
// testing/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "testing/conformance_instance.h"

namespace weir::testing {

// What a run does that the undisturbed one does not.
struct Disturbance {
  std::string name;                 // for people
  Rule rule = Rule::kSameEachTime;  // what a difference of the output breaks

  enum class Cut { kAsGiven, kSingle, kPairs, kMerged } cut = Cut::kAsGiven;
  bool empty_batches = false;  // in front of every call with rows
  int time_steps = 1;          // in which each watermark and each advance comes
  bool hold_output = false;
  bool busy = false;
  int parallelism = 1;
  // At every chance: this many checkpoints, ...
  int checkpoints = 0;
  // ... and a restore at each of these parallelisms in turn; empty: none.
  std::vector<int> restore_to;
  // The frozen state is written after the instance has gone on with what comes next.
  bool write_late = false;
  bool repeat_complete = false;
  // A second set of instances runs in turns with the first and is given the same.
  bool in_turns = false;
  size_t elements = SIZE_MAX;  // the input ends behind so many
  bool keep_order = true;      // whether the case's order counts; else any will do
};

class StageRun {
 public:
  StageRun(const StageCase& stage, const std::vector<InputScript::Element>& input,
           const Disturbance& disturbance, const std::string& local_dir, Findings& findings);
  ~StageRun();

  // The whole of it. What came out, of each set of instances.
  std::vector<RunOutput> Go();

 private:
  using Instances = std::vector<std::unique_ptr<StageInstance>>;
  struct Set {
    Instances instances;
    RunOutput output;
  };

  Instances Make(int parallelism, const std::vector<StateSnapshot>& op,
                 const std::vector<StateSnapshot>& keyed, RunOutput& output);
  void Give(const InputScript::Element& element, Instances& instances);
  void Deliver(int port, BatchPtr piece, Instances& instances);
  void GiveRows(const InputScript::Element& element, Instances& instances);
  void RaiseWatermark(Timestamp time, Instances& instances);
  void Advance(Duration duration, Instances& instances);
  void Reload(std::string_view content, Instances& instances);
  void TakeChance(Set& set, const InputScript::Element* next);
  void Checkpoint(Set& set, bool restore, const InputScript::Element* next);
  // Of sinks only; others have no handles.
  void Commit(const std::vector<std::string>& handles, Instances& instances);
  void Committed(CheckpointId checkpoint, const std::vector<std::string>& handles,
                 Instances& instances);
  void Recover(const Sink::Recovery& recovery, Instances& instances);
  void End(Set& set);

  const StageCase& stage_;
  const std::vector<InputScript::Element>& input_;
  const Disturbance& disturbance_;
  const std::string local_dir_;
  Findings& findings_;
  ManualClock clock_;
  int64_t latest_ = 0;  // that any set of instances has seen
  HeldPool pool_;
  MemorySnapshots snapshots_;
  std::vector<Set> sets_;
  uint32_t attempts_ = 0;
  CheckpointId checkpoints_ = 0;
  size_t chances_ = 0;
  size_t dealt_ = 0;  // rows, where they go to any instance
  Timestamp watermark_ = kMinTimestamp;
  Reloaded resource_;  // in force; without content where the stage has none
  bool ended_ = false;
};

}  // namespace weir::testing
