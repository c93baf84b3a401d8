#include "operators/transforms/plugin.h"

#include <fmt/format.h>

#include "core/crash_site.h"

namespace weir {
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
              std::atomic<uint32_t>::is_always_lock_free);

// One call of the plugin's process().
struct PluginOperator::Call : WeirPluginCall {
  PluginOperator* op;
  Output* out;
  std::string broken;  // why it cannot be known any more which row is which; empty: it can
};

// No exception may cross the plugin's frames.
template <class Body>
int32_t PluginOperator::ForRow(WeirPluginCall* base, Body body) noexcept {
  Call& call = static_cast<Call&>(*base);
  PluginOperator& op = *call.op;
  try {
    if (!op.EnterRow(call) || !body(op.rows_)) return WEIR_PLUGIN_FAILED;
    // Enough for one hand-over: the rest comes when what is there has been taken.
    if (op.rows_.full()) call.stop = 1;
    return WEIR_PLUGIN_OK;
  } catch (const std::exception& e) {
    call.broken = e.what();
  }
  return WEIR_PLUGIN_FAILED;
}

const WeirPluginHost PluginOperator::kHost = {
    .keep =
        [](WeirPluginCall* call) {
          return ForRow(call, [](PluginRows& rows) { return rows.Emit(WeirPluginOutput{}); });
        },
    .emit =
        [](WeirPluginCall* call, const WeirPluginOutput* output) {
          return ForRow(call, [output](PluginRows& rows) {
            if (output == nullptr) return rows.Fail("emitted an event at a null pointer");
            return rows.Emit(*output);
          });
        },
    .fail =
        [](WeirPluginCall* call, WeirPluginBytes error) {
          return ForRow(call, [error](PluginRows& rows) {
            return rows.Fail(error.data == nullptr ? std::string_view()
                                                   : std::string_view(error.data, error.size));
          });
        },
    .get =
        [](WeirPluginCall* call, uint32_t state, WeirPluginBytes* value, uint32_t* found) {
          return ForRow(call, [=](PluginRows& rows) {
            if (value == nullptr || found == nullptr) {
              return rows.Fail("read a state to a null pointer");
            }
            std::optional<std::string_view> got;
            if (!rows.Get(state, got)) return false;
            *value = ToTableBytes(got.value_or(std::string_view()));
            *found = got.has_value();
            return true;
          });
        },
    .put =
        [](WeirPluginCall* call, uint32_t state, WeirPluginBytes value) {
          return ForRow(call, [=](PluginRows& rows) { return rows.Put(state, value); });
        },
    .remove =
        [](WeirPluginCall* call, uint32_t state) {
          return ForRow(call, [=](PluginRows& rows) { return rows.Remove(state); });
        },
    .count =
        [](WeirPluginCall* call, uint32_t counter, uint64_t n) {
          return ForRow(call, [=](PluginRows& rows) { return rows.Count(counter, n); });
        },
};

PluginOperator::PluginOperator(std::shared_ptr<const PluginLibrary> library,
                               PluginSettings settings, PluginDeclaration declaration,
                               EventFields fields, PluginOptions options)
    : library_(std::move(library)),
      settings_(std::move(settings)),
      declaration_(std::move(declaration)),
      rows_(library_->identity(), declaration_, std::move(fields), options) {}

Status PluginOperator::Open(OperatorContext& context) {
  clock_ = &context.env->clock;
  WEIR_ASSIGN_OR_RETURN(instance_, library_->Create(settings_));
  if (!(instance_.declaration() == declaration_)) {
    return absl::InvalidArgumentError(
        fmt::format("{} declares other things than when the job was built: now {}, then {}; what "
                    "it declares may follow from its settings only",
                    library_->label(), ToText(instance_.declaration()), ToText(declaration_)));
  }
  return rows_.Open(context);
}

StatusOr<Progress> PluginOperator::Process(int, BatchPtr batch, Output& out) {
  WEIR_CHECK(!busy_);  // Resume() comes first
  busy_ = true;
  next_ = 0;
  rows_.BeginBatch(std::move(batch));
  events_.clear();
  for (const Event& event : rows_.batch().values()) {
    events_.push_back({ToTableBytes(event.id), ToTableBytes(event.tenant), ToTableBytes(event.type),
                       ToTableBytes(event.payload), event.time, event.priority});
  }
  return Resume(out);
}

StatusOr<Progress> PluginOperator::Resume(Output& out) {
  if (!busy_) return Progress::kDone;
  WEIR_ASSIGN_OR_RETURN(const bool ready, rows_.Prefetch());
  if (!ready) return Progress::kBlocked;
  if (next_ < events_.size()) CallPlugin(out);
  WEIR_RETURN_IF_ERROR(rows_.failure());
  rows_.SendOn(out);
  if (next_ < events_.size()) return Progress::kMoreOutput;
  busy_ = false;
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
  rows_.BeginRow(next_);
  row_.store(call.first, std::memory_order_relaxed);

  int32_t code = WEIR_PLUGIN_FAILED;
  std::string thrown;
  const int64_t began = clock_->MonotonicMicros();
  try {
    // Should the plugin crash, this says which one, and at which row.
    const CrashComponent here(library_->label().c_str(), &row_);
    code = instance_.Process(&call);
  } catch (const std::exception& e) {
    thrown = fmt::format("let an exception out: {}", e.what());
  } catch (...) {
    thrown = "let an exception out that is no std::exception";
  }
  rows_.NoteCall(clock_->MonotonicMicros() - began);

  next_ = events_.size();
  if (!EnterRow(call)) {
    // Which of the rows it was at, and which it has done, cannot be known.
    const size_t first = rows_.row();
    rows_.ForgetRow();
    for (size_t row = first; row < call.rows; ++row) rows_.Reject(row, call.broken, out);
    return;
  }
  if (code != WEIR_PLUGIN_OK) {
    rows_.Fail(!thrown.empty()              ? thrown
               : code == WEIR_PLUGIN_FAILED ? std::string("failed, and does not say why")
                                            : fmt::format("returned the unknown code {}", code));
  }
  rows_.SettleRow(out);
  const size_t behind = rows_.row() + 1;
  if (code != WEIR_PLUGIN_OK || call.stop != 0) {
    next_ = behind;
    return;
  }
  for (size_t row = behind; row < call.rows; ++row) {
    rows_.Reject(row, "broke the rules: it returned before it came to this row", out);
  }
}

bool PluginOperator::EnterRow(Call& call) {
  const size_t row = row_.load(std::memory_order_relaxed);
  if (!call.broken.empty()) return false;
  const size_t at = rows_.row();
  if (row == at) return true;
  if (row < at || row >= call.rows) {
    call.broken =
        fmt::format("broke the rules: behind row {} of {} it published row {}", at, call.rows, row);
    return false;
  }
  rows_.SettleRow(*call.out);
  rows_.Skip(row - at - 1);
  rows_.BeginRow(row);
  return true;
}

}  // namespace weir
