#include "operators/transforms/plugin.h"

#include <fmt/format.h>

#include <cstring>

#include "core/crash_site.h"
#include "operators/transforms/user_call.h"

namespace weir {
namespace {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
              std::atomic<uint32_t>::is_always_lock_free);

constexpr uint32_t kMembers = WEIR_PLUGIN_HAS_PAYLOAD | WEIR_PLUGIN_HAS_ID |
                              WEIR_PLUGIN_HAS_TENANT | WEIR_PLUGIN_HAS_TYPE | WEIR_PLUGIN_HAS_TIME |
                              WEIR_PLUGIN_HAS_PRIORITY;

WeirPluginBytes ToBytes(std::string_view text) { return {text.data(), text.size()}; }

Status CheckBytes(WeirPluginBytes bytes, size_t bytes_max, std::string_view what) {
  if (bytes.data == nullptr && bytes.size > 0) {
    return absl::InvalidArgumentError(fmt::format("emitted {} at a null pointer", what));
  }
  if (bytes.size > bytes_max) {
    return absl::InvalidArgumentError(
        fmt::format("emitted {} of {} bytes, at most {} are allowed", what, bytes.size, bytes_max));
  }
  return absl::OkStatus();
}

}  // namespace

// One call of the plugin's process(), and the row it is at.
struct PluginOperator::Call : WeirPluginCall {
  PluginOperator* op;
  Output* out;
  const Batch<Event>* in;
  Collector<Event>* collector = nullptr;
  size_t at;              // the row at hand
  size_t row_events = 0;  // what it has put out so far
  size_t row_bytes = 0;
  std::string failure;    // why it failed; empty: it has not
  std::string broken;     // why it cannot be known any more which row is which; empty: it can
  size_t productive = 0;  // rows of the call that led to an output
  size_t failed = 0;
};

const WeirPluginHost PluginOperator::kHost = {&PluginOperator::OnKeep, &PluginOperator::OnEmit,
                                              &PluginOperator::OnFail};

PluginOperator::PluginOperator(std::shared_ptr<const PluginLibrary> library,
                               PluginSettings settings, EventFields fields)
    : library_(std::move(library)),
      settings_(std::move(settings)),
      has_time_(!fields.time.empty()),
      reader_(std::move(fields)) {}

Status PluginOperator::Open(OperatorContext& context) {
  counters_ = context.counters;
  clock_ = &context.env->clock;
  WEIR_ASSIGN_OR_RETURN(instance_, library_->Create(settings_));
  return absl::OkStatus();
}

StatusOr<Progress> PluginOperator::Process(int, BatchPtr batch, Output& out) {
  WEIR_CHECK(input_ == nullptr);  // Resume() comes first
  input_ = std::move(batch);
  next_ = 0;
  time_max_ = clock_->Now() + limits::kClockSkewMax;
  events_.clear();
  for (const Event& event : Batch<Event>::Of(std::as_const(*input_)).values()) {
    events_.push_back({ToBytes(event.id), ToBytes(event.tenant), ToBytes(event.type),
                       ToBytes(event.payload), event.time, event.priority});
  }
  return Resume(out);
}

StatusOr<Progress> PluginOperator::Resume(Output& out) {
  if (input_ == nullptr) return Progress::kDone;
  if (next_ < input_->rows()) CallPlugin(out);
  BatchPtr rows = builder_.Take(input_->slabs());
  reader_.Release(rows->slabs());
  new_bytes_ = 0;
  out.Emit(0, std::move(rows));
  if (next_ < input_->rows()) return Progress::kMoreOutput;
  input_ = nullptr;
  return Progress::kDone;
}

void PluginOperator::CallPlugin(Output& out) {
  Call call{};
  call.host = &kHost;
  call.events = events_.data();
  call.first = static_cast<uint32_t>(next_);
  call.rows = static_cast<uint32_t>(events_.size());
  call.row = reinterpret_cast<uint32_t*>(&row_);
  call.op = this;
  call.out = &out;
  call.in = &Batch<Event>::Of(std::as_const(*input_));
  call.at = next_;
  call.collector = &builder_.BeginRow(call.in->times()[next_]);
  row_.store(call.first, std::memory_order_relaxed);

  // Should the plugin crash, this says which one, and at which row.
  CrashSite& site = CurrentCrashSite();
  const CrashSite outer =
      std::exchange(site, {site.stage, site.subtask, library_->label().c_str(), &row_});
  int32_t code = WEIR_PLUGIN_FAILED;
  std::string thrown;
  try {
    code = instance_.Process(&call);
  } catch (const std::exception& e) {
    thrown = fmt::format("let an exception out: {}", e.what());
  } catch (...) {
    thrown = "let an exception out that is no std::exception";
  }
  site = outer;

  const size_t first = next_;
  next_ = events_.size();
  if (!EnterRow(call)) {
    // Which of the rows it was at, and which it has done, cannot be known.
    builder_.DropRow();
    RejectFrom(call, call.at, call.broken);
  } else {
    if (code != WEIR_PLUGIN_OK) {
      Fail(call, !thrown.empty()              ? thrown
                 : code == WEIR_PLUGIN_FAILED ? std::string("failed, and does not say why")
                                              : fmt::format("returned the unknown code {}", code));
    }
    SettleRow(call);
    const size_t behind = call.at + 1;
    if (code != WEIR_PLUGIN_OK || call.stop != 0) {
      next_ = behind;
    } else {
      RejectFrom(call, behind, "broke the rules: it returned before it came to this row");
    }
  }
  counters_->dropped += next_ - first - call.productive - call.failed;
}

bool PluginOperator::EnterRow(Call& call) {
  const size_t row = row_.load(std::memory_order_relaxed);
  if (!call.broken.empty()) return false;
  if (row == call.at) return true;
  if (row < call.at || row >= call.rows) {
    call.broken = fmt::format("broke the rules: behind row {} of {} it published row {}", call.at,
                              call.rows, row);
    return false;
  }
  SettleRow(call);
  call.at = row;
  call.collector = &builder_.BeginRow(call.in->times()[row]);
  return true;
}

void PluginOperator::SettleRow(Call& call) {
  if (call.failure.empty()) {
    builder_.CommitRow();
    call.productive += call.row_events > 0;
  } else {
    builder_.DropRow();
    call.out->Reject(fmt::format("{}: {}", library_->label(), call.failure),
                     (*call.in)[call.at].payload, call.in->times()[call.at]);
    call.failure.clear();
    ++call.failed;
  }
  call.row_events = 0;
  call.row_bytes = 0;
}

void PluginOperator::RejectFrom(Call& call, size_t first, std::string_view why) {
  const std::string error = fmt::format("{}: {}", library_->label(), why);
  for (size_t row = first; row < call.rows; ++row, ++call.failed) {
    call.out->Reject(error, (*call.in)[row].payload, call.in->times()[row]);
  }
}

int32_t PluginOperator::Fail(Call& call, std::string_view why) {
  // The first reason is the cause of the others.
  if (call.failure.empty()) {
    call.failure = why.substr(0, limits::kPluginErrorBytesMax);
    if (call.failure.empty()) call.failure = "failed without a message";
  }
  return WEIR_PLUGIN_FAILED;
}

// No exception may cross the plugin's frames.
template <class Body>
int32_t PluginOperator::Guarded(Call& call, Body body) noexcept {
  try {
    return body();
  } catch (const std::exception& e) {
    call.broken = e.what();
  }
  return WEIR_PLUGIN_FAILED;
}

int32_t PluginOperator::OnKeep(WeirPluginCall* base) {
  Call& call = static_cast<Call&>(*base);
  const WeirPluginOutput unchanged{};
  return OnEmit(&call, &unchanged);
}

int32_t PluginOperator::OnEmit(WeirPluginCall* base, const WeirPluginOutput* output) {
  Call& call = static_cast<Call&>(*base);
  PluginOperator& op = *call.op;
  return Guarded(call, [&] {
    if (!op.EnterRow(call) || !call.failure.empty()) return WEIR_PLUGIN_FAILED;
    if (output == nullptr) return op.Fail(call, "emitted an event at a null pointer");
    const Status status = op.Add(call, *output);
    if (!status.ok()) return op.Fail(call, internal::ErrorText(status));
    return WEIR_PLUGIN_OK;
  });
}

int32_t PluginOperator::OnFail(WeirPluginCall* base, WeirPluginBytes error) {
  Call& call = static_cast<Call&>(*base);
  return Guarded(call, [&] {
    if (!call.op->EnterRow(call)) return WEIR_PLUGIN_FAILED;
    const bool empty = error.data == nullptr;
    return call.op->Fail(call,
                         empty ? std::string_view() : std::string_view(error.data, error.size));
  });
}

Status PluginOperator::Add(Call& call, const WeirPluginOutput& output) {
  const uint32_t has = output.has;
  if ((has & ~kMembers) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("emitted an event with unknown members ({:#x})", has));
  }
  if (++call.row_events > limits::kPluginRowEventsMax) {
    return absl::ResourceExhaustedError(
        fmt::format("emitted more than {} events for one", limits::kPluginRowEventsMax));
  }
  const auto keep = [&](WeirPluginBytes bytes) {
    call.row_bytes += bytes.size;
    new_bytes_ += bytes.size;
    // Enough for one hand-over: the rest comes when what is there has been taken.
    if (new_bytes_ >= limits::kPluginOutputBytes) call.stop = 1;
    return call.collector->Keep({bytes.data, bytes.size});
  };

  const Event& in = (*call.in)[call.at];
  Event event = in;
  std::optional<Timestamp> time;
  bool new_time = false;
  if (has & WEIR_PLUGIN_HAS_PAYLOAD) {
    WEIR_RETURN_IF_ERROR(CheckBytes(output.payload, limits::kLineBytesMax, "a line"));
    if (call.row_bytes + output.payload.size > limits::kPluginRowBytesMax) {
      return absl::ResourceExhaustedError(
          fmt::format("emitted more than {} bytes for one event", limits::kPluginRowBytesMax));
    }
    // Before it is parsed: JSON may have line feeds between its parts, a line may not.
    if (output.payload.size > 0 &&
        std::memchr(output.payload.data, '\n', output.payload.size) != nullptr) {
      return absl::InvalidArgumentError("emitted a line with a line feed in it");
    }
    const Status read = reader_.Replace(keep(output.payload), event, time);
    if (!read.ok()) return Annotate(read, "emitted a line that is no event");
    new_time = has_time_;
  }
  const auto set = [&](uint32_t bit, WeirPluginBytes bytes, std::string_view& to,
                       std::string_view what) -> Status {
    if ((has & bit) == 0) return absl::OkStatus();
    WEIR_RETURN_IF_ERROR(CheckBytes(bytes, limits::kPluginFieldBytesMax, what));
    to = keep(bytes);
    return absl::OkStatus();
  };
  WEIR_RETURN_IF_ERROR(set(WEIR_PLUGIN_HAS_ID, output.id, event.id, "an id"));
  WEIR_RETURN_IF_ERROR(set(WEIR_PLUGIN_HAS_TENANT, output.tenant, event.tenant, "a tenant"));
  WEIR_RETURN_IF_ERROR(set(WEIR_PLUGIN_HAS_TYPE, output.type, event.type, "a type"));
  if (has & WEIR_PLUGIN_HAS_PRIORITY) event.priority = output.priority;
  if (has & WEIR_PLUGIN_HAS_TIME) {
    time = output.time;
    new_time = true;
  }

  Timestamp row_time = call.in->times()[call.at];
  if (new_time) {
    if (time && *time > kMinTimestamp && *time <= time_max_) {
      event.time = row_time = *time;
    } else {
      ++counters_->unusable_times;
    }
  }
  call.collector->Emit(event, row_time);

  const size_t rows_max = std::max<size_t>(limits::kBatchRowsDefault, call.rows);
  if (builder_.rows() + call.row_events >= rows_max) call.stop = 1;
  return absl::OkStatus();
}

}  // namespace weir
