#include "testing/conformance_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "testing/conformance_instance.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

// Polls that yield nothing, one behind the other, before a source counts as one that never ends, or
// as one that makes no progress.
constexpr int kIdlePollsMax = 1000;
constexpr int kEmptyPollsMax = 10'000;

struct SourceDisturbance {
  std::string name;
  Rule rule = Rule::kSameEachTime;
  int parallelism = 1;
  bool checkpoints = false;  // at every chance
  std::vector<int> restore_to;
  bool write_late = false;
  bool early_polls = false;  // also while a source is idle
  bool in_turns = false;     // with another set of instances
};

// One instance, with everything around it.
class SourceInstance final : private Output {
 public:
  SourceInstance(const StageCase& stage, int subtask, int parallelism, uint32_t attempt, Restore op,
                 const Restore& keyed, ManualClock& clock, const std::string& local_dir,
                 Findings& findings, RunOutput& output)
      : stage_(stage),
        findings_(findings),
        output_(output),
        restore_(std::move(op)),
        env_{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random},
        source_(stage.code.source()) {
    context_.job_id = "conformance";
    context_.attempt = attempt;
    context_.stage = stage.name;
    context_.subtask = subtask;
    context_.parallelism = parallelism;
    context_.key_groups = KeyGroupsOf(subtask, parallelism);
    context_.local_dir = local_dir;
    context_.env = &env_;
    context_.restore = &restore_;
    context_.timers = &timers_;
    context_.counters = &counters_;
    context_.wake = [wakes = wakes_] { ++*wakes; };
    auto store = MakeHeapKeyedStore({stage.name, context_.key_groups}, keyed);
    Status status = store.status();
    if (store.ok()) {
      keyed_ = std::make_unique<CheckedStore>(
          *std::move(store), context_.key_groups,
          [this](std::string what) { findings_.Add(Rule::kOwnKeys, Where(what)); }, nullptr);
      context_.keyed = keyed_.get();
      status = env_.disk.MakeDirectories(local_dir);
    }
    if (status.ok()) {
      StatusOr<StateDescription> described = source_->DescribeState();
      status = described.status();
      if (described.ok()) description_ = *std::move(described);
    }
    if (status.ok()) status = source_->Open(context_);
    if (!status.ok()) findings_.Failed(Where("Open(): " + status.ToString()));
  }

  // Whether anything came of it.
  bool Poll(bool early) {
    if (findings_.failed() || finished_) return false;
    const bool woken = *wakes_ != seen_wakes_;
    if (!early && !woken && env_.clock.MonotonicMicros() < next_poll_) return false;
    seen_wakes_ = *wakes_;
    ++findings_.report().calls;
    emitted_ = 0;
    before_ = source_->watermark();
    in_call_ = true;
    StatusOr<PollResult> result;
    try {
      result = source_->Poll(*this);
    } catch (const std::exception& e) {
      result = absl::UnknownError(fmt::format("threw: {}", e.what()));
    }
    in_call_ = false;
    if (!result.ok()) {
      findings_.Failed(Where("Poll(): " + result.status().ToString()));
      return false;
    }
    const Timestamp after = source_->watermark();
    if (after < before_) {
      findings_.Add(
          Rule::kWatermarkNeverFalls,
          Where(fmt::format("{} after {}", FormatTimestamp(after), FormatTimestamp(before_))));
    }
    finished_ = result->kind == PollResult::kFinished;
    next_poll_ = result->kind == PollResult::kIdle ? result->next_poll : 0;
    const bool more = result->kind == PollResult::kMore;
    empty_polls_ = more && emitted_ == 0 && after == before_ ? empty_polls_ + 1 : 0;
    if (empty_polls_ == kEmptyPollsMax) {
      findings_.Add(Rule::kProgress, Where(fmt::format("{} polls in a row say kMore and have "
                                                       "nothing",
                                                       kEmptyPollsMax)));
      findings_.Failed(Where("the run cannot go on"));
    }
    return more || finished_;
  }

  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) {
    if (findings_.failed()) return nullptr;
    const auto start = std::chrono::steady_clock::now();
    auto frozen = source_->Freeze(checkpoint);
    findings_.NoteFreeze((std::chrono::steady_clock::now() - start).count());
    return frozen;
  }
  std::unique_ptr<Frozen> FreezeKeyed(CheckpointId checkpoint) {
    return keyed_ == nullptr ? nullptr : keyed_->Freeze(checkpoint);
  }
  void Close() { source_->Close(); }
  void DiscardOutput() { discard_ = true; }
  bool finished() const { return finished_; }
  const StateDescription& description() const { return description_; }
  int64_t next_poll() const { return next_poll_; }
  size_t emitted() const { return emitted_; }

 private:
  std::string Where(std::string_view what) const {
    return fmt::format("instance {} of {}: {}", context_.subtask, context_.parallelism, what);
  }

  void Emit(int port, BatchPtr batch) override {
    if (batch == nullptr || batch->empty()) return;
    if (!in_call_) {
      findings_.Add(Rule::kEmitsWithinCalls, Where("rows are emitted while no poll runs"));
    }
    if (stage_.output_codecs.count(port) == 0) {
      findings_.Add(Rule::kDeclaredPorts, Where(fmt::format("rows are emitted on port {}", port)));
      return;
    }
    emitted_ += batch->rows();
    for (Timestamp time : batch->times()) {
      if (time > before_ || stage_.late_output) continue;
      findings_.Add(Rule::kWatermarkBehindRows,
                    Where(fmt::format("a row of {} is emitted behind the watermark {}",
                                      FormatTimestamp(time), FormatTimestamp(before_))));
    }
    if (!discard_) output_.Add(stage_, port, *batch, env_.clock.MonotonicMicros());
  }
  void Reject(std::string_view error, std::string_view record, Timestamp time) override {
    ++emitted_;
    if (!discard_) output_.rejected.push_back(fmt::format("{} of {}: {}", error, time, record));
  }

  const StageCase& stage_;
  Findings& findings_;
  RunOutput& output_;
  Restore restore_;
  StateDescription description_;
  Environment env_;
  OperatorContext context_;
  OperatorCounters counters_;
  NodeTimers timers_;
  std::shared_ptr<std::atomic<uint64_t>> wakes_ = std::make_shared<std::atomic<uint64_t>>(0);
  uint64_t seen_wakes_ = 0;
  std::unique_ptr<KeyedStore> keyed_;
  std::unique_ptr<Source> source_;
  bool in_call_ = false;
  bool finished_ = false;
  bool discard_ = false;
  int64_t next_poll_ = 0;
  Timestamp before_ = kMinTimestamp;
  size_t emitted_ = 0;  // of the last poll
  int empty_polls_ = 0;
};

class SourceRun {
 public:
  // rounds_max: after so many polls of each instance the run is given up.
  SourceRun(const StageCase& stage, const SourceDisturbance& disturbance, std::string local_dir,
            size_t rounds_max, Findings& findings)
      : stage_(stage),
        disturbance_(disturbance),
        local_dir_(std::move(local_dir)),
        rounds_max_(rounds_max),
        findings_(findings) {
    clock_.now = stage.start;
  }

  std::vector<RunOutput> Go() {
    sets_.resize(disturbance_.in_turns ? 2 : 1);
    for (Set& set : sets_) Make(set, disturbance_.parallelism, {}, {});
    int idle = 0;
    while (!findings_.failed() && idle < kIdlePollsMax) {
      if (rounds_++ == rounds_max_) {
        findings_.Add(Rule::kProgress,
                      fmt::format("{} polls do not bring it to its end", rounds_max_));
        break;
      }
      bool worked = false;
      bool finished = true;
      for (Set& set : sets_) {
        for (auto& instance : set.instances) {
          worked |= instance->Poll(disturbance_.early_polls);
          finished &= instance->finished();
        }
        if (disturbance_.checkpoints) Checkpoint(set, false);
        if (!disturbance_.restore_to.empty() && !finished) Checkpoint(set, true);
      }
      if (finished) break;
      if (worked) {
        idle = 0;
        continue;
      }
      ++idle;
      int64_t next = kMaxTimestamp;
      for (Set& set : sets_) {
        for (auto& instance : set.instances) {
          if (!instance->finished()) next = std::min(next, instance->next_poll());
        }
      }
      if (next == kMaxTimestamp) break;  // it waits for somebody outside
      clock_.now = std::max<int64_t>(clock_.now, next);
    }
    std::vector<RunOutput> outputs;
    for (Set& set : sets_) {
      Checkpoint(set, false);
      for (auto& instance : set.instances) instance->Close();
      outputs.push_back(std::move(set.output));
    }
    return outputs;
  }
  size_t rounds() const { return rounds_; }

 private:
  struct Set {
    std::vector<std::unique_ptr<SourceInstance>> instances;
    RunOutput output;
    size_t chances = 0;
  };

  void Make(Set& set, int parallelism, const std::vector<StateSnapshot>& op,
            const std::vector<StateSnapshot>& keyed) {
    ++attempts_;
    set.instances.clear();
    for (int subtask = 0; subtask < parallelism; ++subtask) {
      Restore of_op = RestoreFor(subtask, parallelism, op, snapshots_);
      Restore of_keyed = RestoreFor(subtask, parallelism, keyed, snapshots_);
      set.instances.push_back(std::make_unique<SourceInstance>(
          stage_, subtask, parallelism, attempts_, std::move(of_op), of_keyed, clock_,
          fmt::format("{}/a{}-{}", local_dir_, attempts_, subtask), findings_, set.output));
    }
  }

  void Checkpoint(Set& set, bool restore) {
    if (findings_.failed()) return;
    std::vector<std::pair<std::unique_ptr<Frozen>, std::unique_ptr<Frozen>>> frozen;
    ++checkpoints_;
    for (auto& instance : set.instances) {
      auto& piece = frozen.emplace_back();
      piece.first = instance->Freeze(checkpoints_);
      piece.second = instance->FreezeKeyed(checkpoints_);
    }
    if (restore && disturbance_.write_late) {
      for (auto& instance : set.instances) {
        instance->DiscardOutput();
        instance->Poll(true);
      }
    }
    std::vector<StateSnapshot> op, keyed;
    for (auto& [of_op, of_keyed] : frozen) {
      for (auto [piece, snapshots] : {std::pair(&of_op, &op), {&of_keyed, &keyed}}) {
        snapshots->emplace_back();
        if (*piece == nullptr) continue;
        StatusOr<StateSnapshot> written = (*piece)->Write(snapshots_);
        if (!written.ok()) return findings_.Failed("Write(): " + written.status().ToString());
        snapshots->back() = *std::move(written);
      }
    }
    for (size_t i = 0; i < op.size(); ++i) {
      findings_.CheckDescribed(set.instances[i]->description(), op[i], keyed[i]);
    }
    if (!restore) return;
    for (auto& instance : set.instances) instance->Close();
    const auto& to = disturbance_.restore_to;
    Make(set, to[set.chances++ % to.size()], op, keyed);
    ++findings_.report().restores;
  }

  const StageCase& stage_;
  const SourceDisturbance& disturbance_;
  const std::string local_dir_;
  const size_t rounds_max_;
  Findings& findings_;
  ManualClock clock_;
  MemorySnapshots snapshots_;
  std::vector<Set> sets_;
  size_t rounds_ = 0;
  uint32_t attempts_ = 0;
  CheckpointId checkpoints_ = 0;
};

}  // namespace

void CheckSource(const StageCase& stage, ConformanceReport& report) {
  TempDir dir;
  size_t rounds_max = SIZE_MAX;
  auto run = [&](const SourceDisturbance& disturbance) -> std::vector<RunOutput> {
    ++report.runs;
    if (stage.reset) stage.reset();
    Findings findings(report, disturbance.name);
    SourceRun run(stage, disturbance, dir / fmt::format("r{}", report.runs), rounds_max, findings);
    std::vector<RunOutput> outputs = run.Go();
    // A source that forgets begins anew for ever; one that is restored may poll a little more.
    if (rounds_max == SIZE_MAX) rounds_max = 10 * run.rounds() + 100;
    return findings.failed() ? std::vector<RunOutput>() : std::move(outputs);
  };
  const std::vector<RunOutput> undisturbed = run({.name = "undisturbed"});
  if (undisturbed.empty()) return;
  report.rows = undisturbed[0].rows.size();
  std::vector<SourceDisturbance> disturbances = {
      {.name = "once more", .rule = Rule::kSameEachTime},
      {.name = "polled while idle", .rule = Rule::kBlockedEverywhere, .early_polls = true},
      {.name = "a checkpoint behind every poll", .rule = Rule::kBarriers, .checkpoints = true},
      {.name = "in turns with another instance", .rule = Rule::kOwnState, .in_turns = true},
      {.name = "restored behind every poll", .rule = Rule::kRestore, .restore_to = {1}},
      {.name = "written after the instance has gone on",
       .rule = Rule::kFrozenIsIndependent,
       .restore_to = {1},
       .write_late = true},
  };
  if (stage.rescales) {
    disturbances.push_back({.name = "at parallelism 3", .rule = Rule::kRescale, .parallelism = 3});
    disturbances.push_back({.name = "restored at parallelism 2, 3, 1 in turn",
                            .rule = Rule::kRescale,
                            .restore_to = {2, 3, 1}});
  }
  for (const SourceDisturbance& disturbance : disturbances) {
    RowComparison comparison;
    comparison.key = "row." + stage.key;
    comparison.order = disturbance.rule == Rule::kRescale ? RowOrder::kAny : stage.order;
    for (const RunOutput& output : run(disturbance)) {
      const std::string difference = Difference(undisturbed[0], output, comparison);
      if (difference.empty()) continue;
      report.violations.push_back({disturbance.rule, disturbance.name, difference});
    }
  }
}

}  // namespace weir::testing
