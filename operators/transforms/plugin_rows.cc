#include "operators/transforms/plugin_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "operators/transforms/user_call.h"

namespace weir {
namespace {

constexpr uint32_t kMembers = WEIR_PLUGIN_HAS_PAYLOAD | WEIR_PLUGIN_HAS_ID |
                              WEIR_PLUGIN_HAS_TENANT | WEIR_PLUGIN_HAS_TYPE | WEIR_PLUGIN_HAS_TIME |
                              WEIR_PLUGIN_HAS_PRIORITY;

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

PluginRows::PluginRows(PluginIdentity plugin, PluginDeclaration declaration, EventFields fields,
                       PluginOptions options)
    : plugin_(std::move(plugin)),
      declaration_(std::move(declaration)),
      options_(options),
      has_time_(!fields.time.empty()),
      reader_(std::move(fields)),
      builders_(1 + declaration_.outputs.size()),
      collectors_(builders_.size(), nullptr) {
  static_assert(limits::kPluginOutputsMax < 32);  // outputs_used_ has a bit for each, and the main
  std::string routes;
  for (const std::string& output : declaration_.outputs) {
    routes += fmt::format("{}-{}", plugin_.name, output);
  }
  routes_slab_ = CopyToSlab(routes);
  std::string_view rest = routes_slab_->view();
  for (const std::string& output : declaration_.outputs) {
    routes_.push_back(rest.substr(0, plugin_.name.size() + 1 + output.size()));
    rest.remove_prefix(routes_.back().size());
  }
}

Status PluginRows::Open(OperatorContext& context) {
  counters_ = context.counters;
  clock_ = &context.env->clock;
  log_ = context.log;
  const auto named = [this](std::string_view what) {
    return &counters_->Named(fmt::format("{}/{}", plugin_.version, what));
  };
  counts_ = {named("in"),     named("kept"),    named("changed"), named("dropped"),
             named("failed"), named("emitted"), named("micros"),  named("batches-over-budget")};
  for (const std::string& counter : declaration_.counters) {
    own_counts_.push_back(named("count." + counter));
  }
  if (declaration_.states.empty()) return absl::OkStatus();
  WEIR_CHECK(context.keyed != nullptr);  // the stage asks for keyed state
  WEIR_ASSIGN_OR_RETURN(states_, PluginStates::Open(declaration_, *context.keyed));
  return absl::OkStatus();
}

void PluginRows::BeginBatch(BatchPtr batch) {
  batch_ = std::move(batch);
  prefetched_ = false;
  time_max_ = clock_->Now() + limits::kClockSkewMax;
  rows_out_max_ = std::max<size_t>(limits::kBatchRowsDefault, batch_->rows());
  if (states_) states_->SetBatch(this->batch());
}

StatusOr<bool> PluginRows::Prefetch() {
  if (states_ == nullptr) return true;
  WEIR_ASSIGN_OR_RETURN(const bool ready, states_->Ready());
  if (!ready) return false;
  if (prefetched_) return true;
  WEIR_RETURN_IF_ERROR(states_->Prefetch());
  prefetched_ = true;
  return true;
}

std::span<const StateKey> PluginRows::keys() const {
  return states_ ? std::span<const StateKey>(states_->keys()) : std::span<const StateKey>();
}

void PluginRows::BeginRow(size_t row) { row_ = row; }

bool PluginRows::Fail(std::string_view why) {
  // The first reason is the cause of the others.
  if (failure_.empty()) {
    failure_ = why.substr(0, limits::kPluginErrorBytesMax);
    if (failure_.empty()) failure_ = "failed without a message";
  }
  return false;
}

bool PluginRows::Emit(const WeirPluginOutput& output) {
  if (failed()) return false;
  const Status status = Add(output);
  return status.ok() || Fail(internal::ErrorText(status));
}

Status PluginRows::Add(const WeirPluginOutput& output) {
  const uint32_t has = output.has;
  if ((has & ~kMembers) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("emitted an event with unknown members ({:#x})", has));
  }
  if (output.output >= builders_.size()) {
    return absl::InvalidArgumentError(
        fmt::format("emitted an event to output {}, and has declared {} beside the main one",
                    output.output, declaration_.outputs.size()));
  }
  if (++row_events_ > limits::kPluginRowEventsMax) {
    return absl::ResourceExhaustedError(
        fmt::format("emitted more than {} events for one", limits::kPluginRowEventsMax));
  }
  const Timestamp time_in = batch().times()[row_];
  Collector<Event>*& collector = collectors_[output.output];
  if (collector == nullptr) {
    collector = &builders_[output.output].BeginRow(time_in);
    outputs_used_ |= 1u << output.output;
    outputs_open_ |= 1u << output.output;
  }
  const auto keep = [&](WeirPluginBytes bytes) {
    row_bytes_ += bytes.size;
    new_bytes_ += bytes.size;
    return collector->Keep({bytes.data, bytes.size});
  };

  Event event = batch()[row_];
  std::optional<Timestamp> time;
  bool new_time = false;
  if (has & WEIR_PLUGIN_HAS_PAYLOAD) {
    WEIR_RETURN_IF_ERROR(CheckBytes(output.payload, limits::kLineBytesMax, "a line"));
    if (row_bytes_ + output.payload.size > limits::kPluginRowBytesMax) {
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

  Timestamp row_time = time_in;
  if (new_time) {
    if (time && *time > kMinTimestamp && *time <= time_max_) {
      event.time = row_time = *time;
    } else {
      ++counters_->unusable_times;
    }
  }
  row_changed_ |= has != 0;
  if (output.output > 0) event.route = routes_[output.output - 1];
  collector->Emit(event, row_time);
  return absl::OkStatus();
}

bool PluginRows::Get(uint32_t state, std::optional<std::string_view>& value) {
  if (failed()) return false;
  if (!states_) return Fail("read a state, and has declared none");
  StatusOr<std::optional<std::string_view>> got = states_->Get(row_, state);
  if (!got.ok()) return Fail(internal::ErrorText(got.status()));
  value = *got;
  return true;
}

bool PluginRows::Put(uint32_t state, WeirPluginBytes value) {
  if (failed()) return false;
  if (!states_) return Fail("wrote into a state, and has declared none");
  const Status status = states_->Put(row_, state, value);
  return status.ok() || Fail(internal::ErrorText(status));
}

bool PluginRows::Remove(uint32_t state) {
  if (failed()) return false;
  if (!states_) return Fail("removed a value of a state, and has declared none");
  const Status status = states_->Remove(row_, state);
  return status.ok() || Fail(internal::ErrorText(status));
}

bool PluginRows::Count(uint32_t counter, uint64_t n) {
  if (failed()) return false;
  if (counter >= declaration_.counters.size()) {
    return Fail(
        fmt::format("used counter {}, and has declared {}", counter, declaration_.counters.size()));
  }
  for (auto& [index, count] : row_counts_) {
    if (index == counter) return count += n, true;
  }
  row_counts_.emplace_back(counter, n);
  return true;
}

void PluginRows::EndOutputs(bool commit) {
  for (uint32_t used = outputs_used_; used != 0; used &= used - 1) {
    const int output = std::countr_zero(used);
    commit ? builders_[output].CommitRow() : builders_[output].DropRow();
    collectors_[output] = nullptr;
  }
  outputs_used_ = 0;
  row_events_ = 0;
  row_bytes_ = 0;
  row_changed_ = false;
  row_counts_.clear();
}

void PluginRows::SettleRow(Output& out) {
  if (failed()) {
    Reject(row_, failure_, out);
    return ForgetRow();
  }
  if (states_) states_->Commit();
  rows_out_ += row_events_;
  ++*counts_.in;
  *counts_.emitted += row_events_;
  if (row_events_ == 0) {
    ++counters_->dropped;
    ++*counts_.dropped;
  } else {
    ++*(row_changed_ ? counts_.changed : counts_.kept);
  }
  for (const auto& [counter, n] : row_counts_) *own_counts_[counter] += n;
  EndOutputs(true);
}

void PluginRows::ForgetRow() {
  if (states_) states_->Abort();
  failure_.clear();
  EndOutputs(false);
}

void PluginRows::Reject(size_t row, std::string_view why, Output& out) {
  ++*counts_.in;
  ++*counts_.failed;
  out.Reject(fmt::format("{}: {}", plugin_.label(), why), batch()[row].payload,
             batch().times()[row]);
}

void PluginRows::Skip(size_t rows) {
  counters_->dropped += rows;
  *counts_.in += rows;
  *counts_.dropped += rows;
}

void PluginRows::NoteCall(int64_t micros) {
  *counts_.micros += static_cast<uint64_t>(std::max<int64_t>(micros, 0));
  if (micros <= options_.budget) return;
  ++*counts_.over_budget;
  ++over_budget_;
  worst_micros_ = std::max(worst_micros_, micros);
  // The first one, then each time that there are twice as many, so that no log is filled.
  if (!std::has_single_bit(over_budget_)) return;
  log_(fmt::format(
      "{} took longer than its budget of {} for a batch ({} so far, the worst {:.1f} ms)",
      plugin_.label(), FormatDuration(options_.budget), over_budget_, worst_micros_ / 1e3));
}

void PluginRows::SendOn(Output& out) {
  SlabSet read;
  reader_.Release(read);
  for (; outputs_open_ != 0; outputs_open_ &= outputs_open_ - 1) {
    const int output = std::countr_zero(outputs_open_);
    BatchPtr rows = builders_[output].Take(batch_->slabs());
    if (rows->empty()) continue;
    rows->slabs().Unite(read);
    if (output > 0) rows->slabs().Add(routes_slab_);
    out.Emit(output, std::move(rows));
  }
  rows_out_ = 0;
  new_bytes_ = 0;
}

}  // namespace weir
