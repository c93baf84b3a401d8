#include "testing/conformance_instance.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "runtime/worker/sink_operator.h"

namespace weir::testing {
namespace {

constexpr int kResumesMax = 10'000;
// By the machine's clock: how long somebody outside of the I/O pool may take to wake an operator.
constexpr auto kWakeMax = std::chrono::seconds(1);
// Of wake-ups for nothing, in front of each real one.
constexpr int kIdleWakes = 2;

}  // namespace

void Findings::Add(Rule rule, std::string what) {
  if (!seen_.insert(rule).second) return;
  report_.violations.push_back({rule, run_, std::move(what)});
}

void Findings::NoteFreeze(int64_t nanos) {
  std::optional<int64_t>& fastest = report_.fastest_freeze_nanos;
  fastest = std::min(nanos, fastest.value_or(nanos));
}

void Findings::CheckDescribed(const StateDescription& told, const StateSnapshot& own,
                              const StateSnapshot& keyed) {
  const auto& formats = told.own.formats;
  if (!own.format.empty() &&
      std::find(formats.begin(), formats.end(), own.format) == formats.end()) {
    Add(Rule::kDescribedState,
        fmt::format(
            "Freeze() hands over state of the format '{}'; DescribeState() does not tell of "
            "it, so no checkpoint that holds it can be restored",
            own.format));
  }
  for (const StateSchema& held : keyed.schemas) {
    const bool is_told =
        std::any_of(told.keyed.begin(), told.keyed.end(), [&](const KeyedStateSpec& state) {
          return held.state == state.name || held.state == SubKeyName(state.name);
        });
    if (is_told) continue;
    Add(Rule::kDescribedState,
        fmt::format("a checkpoint holds the keyed state '{}', of which DescribeState() does not "
                    "tell",
                    held.state));
  }
}

void RunOutput::Add(const StageCase& stage, int port, const BatchBase& batch, int64_t clock) {
  std::vector<std::string> documents;
  AppendJson(*stage.output_codecs.at(port), batch, documents);
  for (size_t i = 0; i < documents.size(); ++i) {
    std::string row = fmt::format(R"({{"row":{},"time":{})", documents[i], batch.times()[i]);
    if (port != 0) row += fmt::format(R"(,"port":{})", port);
    if (stage.compare_clock) row += fmt::format(R"(,"clock":{})", clock);
    rows.push_back(row + "}");
  }
}

std::string Difference(const RunOutput& expected, const RunOutput& found,
                       const RowComparison& comparison) {
  const std::string rows = RowDifference(expected.rows, found.rows, comparison);
  if (!rows.empty()) return rows;
  const std::string rejected = RowDifference(expected.rejected, found.rejected);
  return rejected.empty() ? "" : "rejected " + rejected;
}

StageInstance::StageInstance(const StageCase& stage, InstanceOptions options, ManualClock& clock,
                             HeldPool& pool, const std::string& local_dir, Findings& findings,
                             RunOutput& output)
    : stage_(stage),
      options_(std::move(options)),
      clock_(clock),
      pool_(pool),
      findings_(findings),
      output_(output),
      env_{clock, RealEnvironment().disk, pool, RealEnvironment().random},
      op_restore_(options_.op) {
  if (stage_.role == StageRole::kSink) {
    auto sink = std::make_unique<SinkOperator>(stage_.code.sink());
    sink_ = sink->sink();
    op_ = std::move(sink);
  } else {
    op_ = stage_.code.op();
  }
  context_.job_id = "conformance";
  context_.attempt = options_.attempt;
  context_.stage = stage_.name;
  context_.subtask = options_.subtask;
  context_.parallelism = options_.parallelism;
  context_.key_groups = KeyGroupsOf(options_.subtask, options_.parallelism);
  context_.local_dir = local_dir;
  context_.env = &env_;
  context_.restore = &op_restore_;
  context_.timers = &timers_;
  context_.counters = &counters_;
  context_.wake = [wakes = wakes_] { ++*wakes; };
  context_.notify = [notified = notified_] { notified->store(true); };
}

StageInstance::~StageInstance() {
  pool_.Release();
  op_.reset();
}

std::string StageInstance::Where(std::string_view call) const {
  return fmt::format("instance {} of {}, call {}: {}", options_.subtask, options_.parallelism,
                     calls_, call);
}

StatusOr<std::unique_ptr<KeyedStore>> StageInstance::MakeStore() {
  if (!stage_.keyed_in_files) {
    return MakeHeapKeyedStore({stage_.name, context_.key_groups}, options_.keyed);
  }
  RocksKeyedStoreOptions options;
  options.stage = stage_.name;
  options.key_groups = context_.key_groups;
  options.local_dir = context_.local_dir + ".keyed";
  options.env = &env_;
  options.wake = context_.wake;
  return MakeRocksKeyedStore(std::move(options), options_.keyed);
}

void StageInstance::Open() {
  Status status = env_.disk.MakeDirectories(context_.local_dir);
  if (status.ok() && stage_.keyed_state) {
    auto store = MakeStore();
    status = store.status();
    if (store.ok()) {
      std::function<void()> on_busy;
      if (options_.busy) on_busy = [this] { pool_.Submit(context_.wake); };
      keyed_ = std::make_unique<CheckedStore>(
          *std::move(store), context_.key_groups,
          [this](std::string what) { findings_.Add(Rule::kOwnKeys, Where(what)); }, on_busy);
      context_.keyed = keyed_.get();
    }
  }
  CallOnce("Open", [&]() -> StatusOr<Progress> {
    WEIR_RETURN_IF_ERROR(status);
    WEIR_ASSIGN_OR_RETURN(description_,
                          sink_ != nullptr ? sink_->DescribeState() : op_->DescribeState());
    WEIR_RETURN_IF_ERROR(op_->Open(context_));
    return Progress::kDone;
  });
  if (stage_.role == StageRole::kOperator && !findings_.failed()) CheckOutputWatermark();
}

void StageInstance::Reload(const Reloaded& reloaded) {
  if (findings_.failed()) return;
  CallOnce("OnReload", [&]() -> StatusOr<Progress> {
    WEIR_RETURN_IF_ERROR(op_->OnReload(reloaded));
    return Progress::kDone;
  });
}

// One call of the operator; nullopt: it has failed.
template <class Fn>
std::optional<Progress> StageInstance::CallOnce(const char* name, Fn fn) {
  ++calls_;
  ++findings_.report().calls;
  StatusOr<Progress> progress;
  pool_.set_in_call(true);
  try {
    progress = fn();
  } catch (const std::exception& e) {
    progress = absl::UnknownError(fmt::format("threw: {}", e.what()));
  } catch (...) {
    progress = absl::UnknownError("threw something that is no std::exception");
  }
  pool_.set_in_call(false);
  if (pool_.waited()) {
    findings_.Add(
        Rule::kNeverWaits,
        Where(fmt::format("{}() does not return before the I/O pool has done something", name)));
    pool_.Hold(false);  // or each further call would wait as long
  }
  if (!options_.hold_output || calls_ % 2 == 0) TakeOutput();
  if (progress.ok()) return *progress;
  findings_.Failed(Where(fmt::format("{}(): {}", name, progress.status().ToString())));
  return std::nullopt;
}

template <class Fn>
void StageInstance::Run(Call call, const char* name, Fn fn) {
  if (findings_.failed()) return;
  call_ = call;
  uint64_t wakes = *wakes_;
  std::optional<Progress> progress = CallOnce(name, fn);
  for (int resumes = 0; progress && *progress != Progress::kDone; ++resumes) {
    if (resumes == kResumesMax) {
      findings_.Add(
          Rule::kProgress,
          Where(fmt::format("{}() is not done after {} calls of Resume()", name, kResumesMax)));
      findings_.Failed(Where("the run cannot go on"));
      break;
    }
    auto resume = [&] {
      timers_.SpendWakeUp();
      return op_->Resume(*this);
    };
    if (*progress == Progress::kBlocked) {
      // Wake-ups for nothing: what else happens on the I/O pool may have called wake, too. One that
      // is earlier than the time that was set spends that all the same.
      for (int i = 0; options_.busy && i < kIdleWakes && progress == Progress::kBlocked; ++i) {
        progress = CallOnce("Resume", resume);
      }
      if (progress != Progress::kBlocked) continue;
      if (!AwaitWake(name, wakes)) break;
    }
    wakes = *wakes_;
    progress = CallOnce("Resume", resume);
  }
  call_ = Call::kNone;
  if (findings_.failed()) return;
  // Whatever goes on outside does so between calls, so that each run is like the next.
  if (!options_.busy) pool_.Release();
  CheckOutputWatermark();
  // Nothing comes between a barrier and Freeze(), or behind the end.
  if (!options_.busy && call != Call::kDrain && call != Call::kNotified) FireNotified();
}

// Until wake has been called since `wakes`, or the time has come that SetWakeUp() names.
bool StageInstance::AwaitWake(const char* name, uint64_t wakes) {
  pool_.Release();
  const std::optional<int64_t> wake_up = timers_.wake_up();
  if (wake_up && *wake_up <= clock_.now) return true;
  const auto since = std::chrono::steady_clock::now();
  while (*wakes_ == wakes) {
    const auto waited = std::chrono::steady_clock::now() - since;
    if (wake_up && waited > std::chrono::microseconds(stage_.outside_max)) {
      clock_.now = *wake_up;
      return true;
    }
    if (waited > std::max<std::chrono::microseconds>(
                     kWakeMax, std::chrono::microseconds(stage_.outside_max))) {
      findings_.Add(Rule::kProgress,
                    Where(fmt::format("{}() is kBlocked, and nobody calls wake, nor has it set a "
                                      "time with SetWakeUp()",
                                      name)));
      findings_.Failed(Where("the run cannot go on"));
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

void StageInstance::Process(int port, BatchPtr batch) {
  for (Timestamp time : batch->times()) {
    findings_.times.insert(time);
    if (time <= watermark_) findings_.late_times.insert(time);
  }
  Run(Call::kInput, "Process",
      [&]() -> StatusOr<Progress> { return op_->Process(port, std::move(batch), *this); });
}

void StageInstance::Watermark(Timestamp time) {
  while (auto timer = timers_.TakeEvent(time)) {
    reached_ = std::max(reached_, *timer);
    Run(Call::kEventTime, "OnTimer",
        [&] { return op_->OnTimer(TimerKind::kEventTime, *timer, *this); });
    if (findings_.failed()) return;
  }
  watermark_ = reached_ = time;
  Run(Call::kEventTime, "OnWatermark", [&] { return op_->OnWatermark(time, *this); });
}

void StageInstance::FireNotified() {
  if (ended_ || !notified_->exchange(false)) return;
  Run(Call::kNotified, "OnTimer(kNotified)",
      [&] { return op_->OnTimer(TimerKind::kNotified, clock_.now, *this); });
}

void StageInstance::FireTimers() {
  FireNotified();
  while (!findings_.failed()) {
    TimerKind kind = TimerKind::kDelay;
    std::optional<int64_t> timer = timers_.TakeDelay(clock_.MonotonicMicros());
    if (!timer) {
      kind = TimerKind::kProcessingTime;
      timer = timers_.TakeProcessing(clock_.Now());
    }
    if (!timer) return;
    Run(Call::kClock, "OnTimer", [&] { return op_->OnTimer(kind, *timer, *this); });
  }
}

std::optional<int64_t> StageInstance::next_timer() const {
  std::optional<int64_t> next = timers_.next_delay();
  if (auto wall = timers_.next_processing()) {
    const int64_t at = *wall - clock_.wall_ahead;
    next = std::min(at, next.value_or(at));
  }
  return next;
}

void StageInstance::Drain(DrainReason reason) {
  Run(Call::kDrain, reason == DrainReason::kBarrier ? "Drain(kBarrier)" : "Drain(kEndOfInput)",
      [&] { return op_->Drain(reason, *this); });
  if (reason == DrainReason::kEndOfInput) ended_ = true;
}

std::unique_ptr<Frozen> StageInstance::FreezeOperator(CheckpointId checkpoint) {
  if (findings_.failed()) return nullptr;
  std::unique_ptr<Frozen> frozen;
  const auto start = std::chrono::steady_clock::now();
  CallOnce("Freeze", [&]() -> StatusOr<Progress> {
    frozen = op_->Freeze(checkpoint);
    return Progress::kDone;
  });
  findings_.NoteFreeze((std::chrono::steady_clock::now() - start).count());
  return frozen;
}

std::unique_ptr<Frozen> StageInstance::FreezeKeyed(CheckpointId checkpoint) {
  return keyed_ == nullptr || findings_.failed() ? nullptr : keyed_->Freeze(checkpoint);
}

StatusOr<StateSnapshot> StageInstance::Write(std::unique_ptr<Frozen> frozen,
                                             MemorySnapshots& snapshots) {
  if (frozen == nullptr) return StateSnapshot{};
  pool_.Release();
  return frozen->Write(snapshots);
}

void StageInstance::Close() {
  pool_.Release();
  if (!findings_.failed()) {
    CallOnce("Close", [&]() -> StatusOr<Progress> {
      op_->Close();
      return Progress::kDone;
    });
  }
  TakeOutput();
}

void StageInstance::Emit(int port, BatchPtr batch) {
  if (batch == nullptr || batch->empty()) return;
  if (call_ == Call::kNone) {
    findings_.Add(Rule::kEmitsWithinCalls,
                  Where(fmt::format("{} rows are emitted while no call that has an output runs",
                                    batch->rows())));
  }
  if (ended_) {
    findings_.Add(Rule::kNothingAfterEnd,
                  Where(fmt::format("{} rows are emitted after the end", batch->rows())));
  }
  if (stage_.output_codecs.count(port) == 0) {
    findings_.Add(Rule::kDeclaredPorts,
                  Where(fmt::format("{} rows are emitted on port {}", batch->rows(), port)));
    return;
  }
  CheckEmitted(*batch);
  outbox_.push_back({port, std::move(batch), clock_.now});
}

void StageInstance::CheckEmitted(const BatchBase& batch) {
  for (Timestamp time : batch.times()) {
    if (time <= output_watermark_ && !stage_.late_output && findings_.late_times.count(time) == 0) {
      findings_.Add(Rule::kWatermarkBehindRows,
                    Where(fmt::format("a row of {} is emitted behind the output watermark {}",
                                      FormatTimestamp(time), FormatTimestamp(output_watermark_))));
    }
    if (call_ == Call::kEventTime && time > reached_ && findings_.times.count(time) == 0) {
      findings_.Add(Rule::kTimersInTime,
                    Where(fmt::format("a row of {}, which is no time of the input, is emitted at "
                                      "the watermark {}",
                                      FormatTimestamp(time), FormatTimestamp(watermark_))));
    }
  }
}

void StageInstance::CheckOutputWatermark() {
  const Timestamp watermark = op_->OutputWatermark(watermark_);
  if (watermark > watermark_) {
    findings_.Add(Rule::kWatermarkNotAhead,
                  Where(fmt::format("{} for an input watermark of {}", FormatTimestamp(watermark),
                                    FormatTimestamp(watermark_))));
  }
  if (watermark < output_watermark_) {
    findings_.Add(Rule::kWatermarkNeverFalls,
                  Where(fmt::format("{} after {}", FormatTimestamp(watermark),
                                    FormatTimestamp(output_watermark_))));
  }
  output_watermark_ = std::max(output_watermark_, watermark);
}

void StageInstance::Reject(std::string_view error, std::string_view record, Timestamp time) {
  if (call_ == Call::kNone) {
    findings_.Add(Rule::kEmitsWithinCalls, Where("a row is rejected while no such call runs"));
  }
  if (discard_) return;
  JsonWriter text;
  text.StartObject();
  text.Key("error");
  text.String(error);
  text.Key("record");
  text.String(record);
  text.Key("time");
  text.Int(time);
  text.EndObject();
  output_.rejected.emplace_back(text.text());
}

void StageInstance::TakeOutput() {
  if (!discard_) {
    for (const Emitted& emitted : outbox_) {
      output_.Add(stage_, emitted.port, *emitted.batch, emitted.clock);
    }
  }
  outbox_.clear();
}

}  // namespace weir::testing
