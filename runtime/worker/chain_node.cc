#include "runtime/worker/chain_node.h"

#include <fmt/format.h>

#include "core/crash_site.h"
#include "runtime/worker/sink_operator.h"

namespace weir {

std::optional<Timestamp> NodeTimers::Take(std::set<Timestamp>& timers, Timestamp time) {
  if (timers.empty() || *timers.begin() > time) return std::nullopt;
  Timestamp first = *timers.begin();
  timers.erase(timers.begin());
  return first;
}

ChainNode::ChainNode(Setup setup) : setup_(std::move(setup)) {
  const StageCode& code = setup_.job->stages[setup_.stage];
  switch (spec().role) {
    case StageRole::kSource:
      source_ = code.source();
      break;
    case StageRole::kOperator:
      operator_ = code.op();
      break;
    case StageRole::kSink: {
      auto sink = std::make_unique<SinkOperator>(code.sink());
      sink_ = sink->sink();
      operator_ = std::move(sink);
      break;
    }
  }
  OperatorContext& context = setup_.context;
  context.stage = spec().name;
  context.restore = &setup_.restore;
  context.timers = &timers_;
  context.counters = &operator_counters_;
  // The flags outlive the node, so a late wake-up of something on the I/O pool hurts nobody.
  auto raise = [wake_slot = std::move(context.wake)](std::shared_ptr<std::atomic<bool>> flag) {
    return [flag = std::move(flag), wake_slot] {
      flag->store(true, std::memory_order_release);
      wake_slot();
    };
  };
  context.wake = raise(woken_);
  context.notify = raise(notified_);
  context.log = [notice = setup_.notice, stage = spec().name,
                 subtask = context.subtask](std::string_view line) {
    if (notice) notice(stage, subtask, line);
  };
}

std::string ChainNode::where() const {
  return fmt::format("stage '{}' (subtask {})", spec().name, setup_.context.subtask);
}

Status ChainNode::Open() {
  return Guard(0, [&]() -> Status {
    OperatorContext& context = setup_.context;
    if (spec().keyed_state) {
      WEIR_ASSIGN_OR_RETURN(keyed_, MakeKeyedStore());
      context.keyed = keyed_.get();
    }
    Status status = source_ ? source_->Open(context) : operator_->Open(context);
    const bool restoring =
        !setup_.restore.snapshots.empty() || !setup_.keyed_restore.snapshots.empty();
    if (restoring && operator_ && absl::IsFailedPrecondition(status)) {
      // The state is whole, but not what this operator can go on from.
      status = absl::OutOfRangeError(status.message());
    }
    setup_.restore.snapshots.clear();
    setup_.keyed_restore.snapshots.clear();
    return status;
  });
}

Status ChainNode::Reload(const Reloaded& reloaded) {
  WEIR_CHECK(operator_ != nullptr);
  return Guard(0, [&] { return operator_->OnReload(reloaded); });
}

// What a source keeps, the positions of its splits, is little.
StatusOr<std::unique_ptr<KeyedStore>> ChainNode::MakeKeyedStore() {
  const OperatorContext& context = setup_.context;
  if (source_ || setup_.heap_state) {
    return MakeHeapKeyedStore({spec().name, context.key_groups}, setup_.keyed_restore);
  }
  RocksKeyedStoreOptions options;
  options.stage = spec().name;
  options.key_groups = context.key_groups;
  options.local_dir = context.local_dir + ".keyed";
  options.env = context.env;
  options.wake = context.wake;
  options.memory_bytes = context.memory_bytes;
  return MakeRocksKeyedStore(std::move(options), setup_.keyed_restore);
}

// Runs user code: adds where it happened to a Status, and makes one of an exception.
template <class Call>
Status ChainNode::Guard(int64_t now_micros, Call call) {
  call_started_micros_ = now_micros;
  Status status;
  try {
    // Open() may take long; what is called with the time at hand may not.
    const CrashScope here(spec().name.c_str(), setup_.context.subtask,
                          /*brief=*/now_micros != 0);
    status = call();
  } catch (const std::exception& e) {
    status = absl::UnknownError(fmt::format("threw: {}", e.what()));
  } catch (...) {
    status = absl::UnknownError("threw something that is no std::exception");
  }
  if (status.ok()) {
    SendDeadLetters();
    status = std::exchange(rejected_, absl::OkStatus());
  }
  if (now_micros != 0) {
    busy_micros_ += setup_.context.env->clock.MonotonicMicros() - call_started_micros_;
  }
  return Annotate(status, where());
}

Status ChainNode::Finish(const StatusOr<Progress>& progress) {
  if (!progress.ok()) return progress.status();
  waiting_ = *progress != Progress::kDone;
  needs_wake_ = *progress == Progress::kBlocked;
  return absl::OkStatus();
}

bool ChainNode::pending_watermark() const { return !(input_watermark_ == passed_watermark_); }

bool ChainNode::runnable(int64_t now_micros) const {
  if (waiting_) {
    return !needs_wake_ || woken() || timers_.wake_up().value_or(INT64_MAX) <= now_micros;
  }
  return !inbox_.empty() || pending_watermark();
}

Status ChainNode::RunOnce(int64_t now_micros) {
  return Guard(now_micros, [&]() -> Status {
    if (waiting_) {
      woken_->store(false, std::memory_order_release);
      timers_.SpendWakeUp();
      return Finish(operator_->Resume(*this));
    }
    if (!inbox_.empty()) {
      auto [port, batch] = std::move(inbox_.front());
      inbox_.pop_front();
      counters_.records_in += batch->rows();
      // A wake-up from before this call says nothing about what it will wait for.
      woken_->store(false, std::memory_order_release);
      return Finish(operator_->Process(port, std::move(batch), *this));
    }
    if (input_watermark_.time > passed_watermark_.time) {
      if (auto timer = timers_.TakeEvent(input_watermark_.time)) {
        return Finish(operator_->OnTimer(TimerKind::kEventTime, *timer, *this));
      }
      passed_watermark_ = input_watermark_;
      return Finish(operator_->OnWatermark(passed_watermark_.time, *this));
    }
    passed_watermark_ = input_watermark_;
    return absl::OkStatus();
  });
}

Status ChainNode::FireTimer(Timestamp wall, bool& fired, int64_t now_micros) {
  fired = false;
  if (waiting_ || !operator_) return absl::OkStatus();
  TimerKind kind = TimerKind::kNotified;
  std::optional<int64_t> timer;
  if (notified_->load(std::memory_order_relaxed) &&
      notified_->exchange(false, std::memory_order_acquire)) {
    timer = now_micros;
  }
  if (!timer) {
    kind = TimerKind::kDelay;
    timer = timers_.TakeDelay(now_micros);
  }
  if (!timer) {
    kind = TimerKind::kProcessingTime;
    timer = timers_.TakeProcessing(wall);
  }
  if (!timer) return absl::OkStatus();
  fired = true;
  return Guard(now_micros, [&] { return Finish(operator_->OnTimer(kind, *timer, *this)); });
}

Status ChainNode::StartDrain(DrainReason reason, int64_t now_micros) {
  if (!operator_) return absl::OkStatus();
  return Guard(now_micros, [&] {
    woken_->store(false, std::memory_order_release);
    return Finish(operator_->Drain(reason, *this));
  });
}

StatusOr<PollResult> ChainNode::Poll(int64_t now_micros) {
  PollResult result;
  // Before the call: what wakes the source while it looks is seen at the next step.
  woken_->store(false, std::memory_order_release);
  Status status = Guard(now_micros, [&]() -> Status {
    WEIR_ASSIGN_OR_RETURN(result, source_->Poll(*this));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return result;
}

Watermark ChainNode::output_watermark() const {
  if (source_) return input_watermark_;
  // While a call is unfinished, rows that came before the watermark may still be inside.
  if (waiting_) return {kMinTimestamp, passed_watermark_.idle};
  return {operator_->OutputWatermark(passed_watermark_.time), passed_watermark_.idle};
}

void ChainNode::Emit(int port, BatchPtr batch) {
  if (batch == nullptr || batch->empty()) return;
  NodeTarget* last = nullptr;
  for (NodeTarget& target : targets_) {
    if (target.port == port) last = &target;
  }
  if (last == nullptr) {
    // The builder has seen to port 0 and the dead letters.
    WEIR_CHECK(port > 0);
    counters_.dropped += batch->rows();
    return;
  }
  if (port != kDeadLetterPort) counters_.records_out += batch->rows();
  for (NodeTarget& target : targets_) {
    if (target.port != port) continue;
    BatchPtr rows = &target == last ? std::move(batch) : batch->Clone();
    if (target.writer != nullptr) {
      target.writer->Add(std::move(rows), call_started_micros_);
      continue;
    }
    const EdgeCode& code = setup_.job->edges[target.edge];
    if (code.hash_keys && target.node->spec().keyed_state) code.hash_keys(*rows);
    if (setup_.encode_edges) {
      std::string bytes;
      code.codec->EncodeBatch(*rows, bytes);
      StatusOr<BatchPtr> decoded = code.codec->DecodeBatch(CopyToSlab(bytes));
      WEIR_CHECK(decoded.ok());
      rows = *std::move(decoded);
    }
    target.node->Push(target.input_port, std::move(rows));
  }
}

void ChainNode::Reject(std::string_view error, std::string_view record, Timestamp time) {
  switch (spec().on_failure) {
    case FailurePolicy::kDrop:
      ++counters_.dropped;
      return;
    case FailurePolicy::kFail:
      if (rejected_.ok()) {
        rejected_ = absl::FailedPreconditionError(
            fmt::format("a row was rejected: {}; the stage's policy is to end the job then (see "
                        "JobBuilder::DeadLetters and Stream::OnFailure). The row: {}",
                        error, record.substr(0, 1000)));
      }
      return;
    case FailurePolicy::kDeadLetter:
      ++counters_.dead_letters;
      if (!dead_letters_) dead_letters_ = std::make_unique<Batch<DeadLetter>>();
      dead_letters_->Add({dead_letter_bytes_.Copy(spec().name_in_dead_letters()),
                          dead_letter_bytes_.Copy(error), dead_letter_bytes_.Copy(record)},
                         time);
      dead_letters_->AddViewBytes(error.size() + record.size() +
                                  spec().name_in_dead_letters().size());
      return;
  }
}

// What the slowest of those that read from here wants; dead letters are few.
size_t ChainNode::batch_bytes() const {
  size_t bytes = kAnyBatchBytes;
  for (const NodeTarget& target : targets_) {
    if (target.port == kDeadLetterPort) continue;
    const ChainNode* node = target.node;
    bytes = std::min(bytes, target.writer != nullptr ? target.writer->batch_bytes()
                            : node->sink_ != nullptr ? BatchBytesFor(*node->sink_)
                                                     : node->batch_bytes());
  }
  return bytes;
}

void ChainNode::SendDeadLetters() {
  if (!dead_letters_) return;
  dead_letter_bytes_.Release(dead_letters_->slabs());
  Emit(kDeadLetterPort, std::move(dead_letters_));
}

StageCounters ChainNode::counters() const {
  StageCounters counters = counters_;
  counters.dropped += operator_counters_.dropped;
  counters.unusable_times += operator_counters_.unusable_times;
  counters.named = operator_counters_.named();
  counters.tenants = operator_counters_.tenants;
  return counters;
}

void ChainNode::Close() {
  try {
    if (source_) source_->Close();
    if (operator_) operator_->Close();
  } catch (const std::exception&) {
    // The attempt is over; there is nothing left that could fail.
  }
}

}  // namespace weir
