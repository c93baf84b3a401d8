#include "operators/transforms/isolated_plugin_operator.h"

#include <fmt/format.h>

#include "absl/container/flat_hash_map.h"
#include "core/check.h"

namespace weir {

IsolatedPluginOperator::IsolatedPluginOperator(std::shared_ptr<const IsolatedPlugin> plugin,
                                               EventFields fields)
    : plugin_(std::move(plugin)),
      rows_(plugin_->identity(), plugin_->declaration(), std::move(fields), plugin_->options()) {}

Status IsolatedPluginOperator::Open(OperatorContext& context) {
  const auto named = [&](std::string_view what) {
    return &context.counters->Named(fmt::format("{}/{}", plugin_->identity().version, what));
  };
  counts_ = {named("hosts-started"), named("crashes"),     named("hangs"),
             named("damages"),       named("memory-ends"), named("backoff-micros")};
  WEIR_RETURN_IF_ERROR(rows_.Open(context));
  caller_ = std::make_unique<IsolatedCaller>(
      plugin_, context.env->clock,
      [wake = context.wake, notify = context.notify] {
        wake();
        if (notify) notify();
      },
      context.log);
  return absl::OkStatus();
}

StatusOr<Progress> IsolatedPluginOperator::Process(int, BatchPtr batch, Output& out) {
  WEIR_CHECK(waiting_ == nullptr && !in_rows_);  // Resume() comes first
  if (!batch->empty()) {
    ++batches_in_;
    waiting_ = std::move(batch);
  }
  return Advance(out);
}

StatusOr<Progress> IsolatedPluginOperator::Resume(Output& out) { return Advance(out); }

StatusOr<Progress> IsolatedPluginOperator::OnWatermark(Timestamp watermark, Output& out) {
  watermarks_.Add(watermark, batches_in_, batches_out_);
  return Progress::kDone;
}

StatusOr<Progress> IsolatedPluginOperator::OnTimer(TimerKind, Timestamp, Output& out) {
  return Advance(out);
}

StatusOr<Progress> IsolatedPluginOperator::Drain(DrainReason, Output& out) {
  draining_ = true;
  return Advance(out);
}

StatusOr<Progress> IsolatedPluginOperator::Advance(Output& out) {
  UpdateCounters();
  while (true) {
    if (answered_ != nullptr) {
      WEIR_ASSIGN_OR_RETURN(const bool whole, Replay(out));
      if (!whole) return Progress::kMoreOutput;
      continue;
    }
    answered_ = caller_->Take();
    if (answered_ != nullptr) {
      replay_.Start(std::move(answered_->log));
      if (!has_state()) {
        rows_.BeginBatch(std::move(answered_->batch));
        replayed_ = 0;
      }
      rows_.NoteCall(static_cast<int64_t>(answered_->micros));
      continue;
    }
    WEIR_RETURN_IF_ERROR(caller_->status());
    if (waiting_ == nullptr && !in_rows_) break;
    WEIR_ASSIGN_OR_RETURN(const bool submitted, SubmitWaiting());
    if (!submitted) return Progress::kBlocked;
  }
  if (caller_->in_flight() == 0) {
    draining_ = false;
    return Progress::kDone;
  }
  return draining_ ? Progress::kBlocked : Progress::kDone;
}

StatusOr<bool> IsolatedPluginOperator::SubmitWaiting() {
  if (!caller_->HasRoom()) return false;
  auto call = std::make_unique<IsolatedCall>();
  if (!has_state()) {
    call->events = Batch<Event>::Of(std::as_const(*waiting_)).values();
    call->batch = std::move(waiting_);
    caller_->Submit(std::move(call));
    return true;
  }
  if (caller_->in_flight() > 0) return false;
  // Unless a part of the batch before has to be asked again.
  if (!in_rows_) {
    rows_.BeginBatch(std::move(waiting_));
    in_rows_ = true;
    replayed_ = 0;
  }
  WEIR_ASSIGN_OR_RETURN(const bool ready, rows_.Prefetch());
  if (!ready) return false;
  call->next = replayed_;
  WEIR_RETURN_IF_ERROR(AddValues(*call));
  in_rows_ = false;
  caller_->Submit(std::move(call));
  return true;
}

Status IsolatedPluginOperator::AddValues(IsolatedCall& call) {
  const std::span<const Event> events = rows_.batch().values();
  const size_t states = plugin_->declaration().states.size();
  const std::span<const StateKey> keys = rows_.keys();
  absl::flat_hash_map<std::string_view, uint32_t> numbers;
  call.key_of_event.resize(events.size());
  size_t row = call.next;
  for (size_t bytes = 0; row < events.size() && bytes < limits::kIsolatedRequestBytes; ++row) {
    const auto [number, is_new] = numbers.try_emplace(keys[row].bytes, numbers.size());
    call.key_of_event[row] = number->second;
    if (!is_new) continue;
    rows_.BeginRow(row);
    for (uint32_t state = 0; state < states; ++state) {
      std::optional<std::string_view> value;
      if (!rows_.Get(state, value)) {
        // Why, the event that asks for it is told when it is replayed.
        call.unreadable.push_back(call.values.size());
        rows_.ForgetRow();
        rows_.BeginRow(row);
      }
      call.values.push_back(value ? std::optional<std::string>(*value) : std::nullopt);
      bytes += value ? value->size() : 0;
    }
    rows_.ForgetRow();
  }
  call.events = events.first(row);
  return rows_.failure();
}

StatusOr<bool> IsolatedPluginOperator::Replay(Output& out) {
  const uint32_t end = answered_->next;
  bool sound = true;
  while (replayed_ < end && sound && !rows_.full()) {
    ++replayed_;
    sound = replay_.ReplayRow(rows_, out);
  }
  WEIR_RETURN_IF_ERROR(rows_.failure());
  rows_.SendOn(out);
  if (replayed_ < end && sound) return false;
  answered_.reset();
  if (replayed_ < rows_.batch().rows()) {
    in_rows_ = true;  // the rest is asked again, with the values as they are now
  } else {
    watermarks_.Release(++batches_out_);
  }
  return true;
}

void IsolatedPluginOperator::UpdateCounters() {
  const IsolatedCaller::Counts now = caller_->counts();
  *counts_.hosts += now.hosts - counted_.hosts;
  *counts_.crashes += now.crashes - counted_.crashes;
  *counts_.hangs += now.hangs - counted_.hangs;
  *counts_.damages += now.damages - counted_.damages;
  *counts_.memory_ends += now.memory_ends - counted_.memory_ends;
  *counts_.backoff_micros += now.backoff_micros - counted_.backoff_micros;
  counted_ = now;
}

}  // namespace weir
