#include "tests/testing/faulty_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <stdexcept>

namespace weir::testing {
namespace {

int64_t openings = 0;      // of all instances there have ever been
int64_t total_of_all = 0;  // shared by mistake

class LateFrozen final : public Frozen {
 public:
  explicit LateFrozen(std::shared_ptr<int64_t> total) : total_(std::move(total)) {}
  StatusOr<StateSnapshot> Write(SnapshotWriter&) override {
    StateSnapshot snapshot;
    snapshot.format = "totals/1";
    snapshot.inline_bytes = fmt::format("{}|0|", *total_);
    return snapshot;
  }

 private:
  const std::shared_ptr<int64_t> total_;
};

}  // namespace

StatusOr<StateDescription> Totals::DescribeState() {
  StateDescription description;
  if (!fault_.is(Rule::kDescribedState)) description.own.formats = {"totals/1"};
  return description;
}

Status Totals::Open(OperatorContext& context) {
  context_ = context;
  ++openings;
  total_of_all = 0;
  for (const RestoredSnapshot& restored : context.restore->snapshots) {
    const std::string& bytes = restored.snapshot.inline_bytes;
    const size_t first = bytes.find('|');
    const size_t second = bytes.find('|', first + 1);
    *total_ += std::stoll(bytes);
    const std::string key = bytes.substr(second + 1);
    if (!key.empty()) held_ = Held{key, std::stoll(bytes.substr(first + 1))};
  }
  return absl::OkStatus();
}

void Totals::Emit(std::string_view key, int64_t n, Timestamp time, Output& out, int port) {
  auto batch = std::make_unique<Batch<Item>>();
  SlabArena arena;
  if (fault_.is(Rule::kOutputHeld)) {
    // Points to what the next row overwrites.
    const size_t size = std::min(key.size(), sizeof(text_));
    std::memcpy(text_, key.data(), size);
    batch->Add({{text_, size}, n}, time);
  } else {
    batch->Add({arena.Copy(key), n}, time);
  }
  arena.Release(batch->slabs());
  out.Emit(port, std::move(batch));
}

void Totals::Put(Output& out) {
  if (!held_) return;
  int64_t total = *total_;
  if (fault_.is(Rule::kSameEachTime)) total += openings;
  if (fault_.is(Rule::kOwnState)) total = total_of_all;
  Emit(held_->key, total, held_->time, out, fault_.is(Rule::kDeclaredPorts) ? 7 : 0);
  held_.reset();
}

void Totals::Take(const Item& item, Timestamp time, Output& out) {
  ++rows_;
  if (item.n < 0) {
    out.Reject("negative", fmt::format("{}", item.n), time);
    if (fault_.is(Rule::kRejectLeavesNothing)) *total_ += item.n;
    if (fault_.is(Rule::kRejectOrEmit)) Emit(item.key, item.n, time, out);
    return;
  }
  Put(out);
  *total_ += item.n;
  total_of_all += item.n;
  held_ = Held{std::string(item.key), time};
}

StatusOr<Progress> Totals::Process(int, BatchPtr batch, Output& out) {
  output_ = &out;
  fed_ = true;
  if (fault_.is(Rule::kEmptyBatches) && batch->empty()) ++*total_;
  if (fault_.is(Rule::kNeverWaits)) {
    std::promise<void> done;
    context_.env->io.Submit([&] { done.set_value(); });
    done.get_future().wait();
  }
  if (fault_.is(Rule::kProgress, 0)) return Progress::kMoreOutput;
  if (fault_.is(Rule::kProgress, 1)) return Progress::kBlocked;
  if (fault_.is(Rule::kBlockedEverywhere)) {
    *ready_ = false;
    waiting_ = std::move(batch);
    context_.env->io.Submit([ready = ready_, wake = context_.wake] {
      *ready = true;
      wake();
    });
    return Progress::kBlocked;
  }
  const Batch<Item>& items = Batch<Item>::Of(std::as_const(*batch));
  for (size_t i = 0; i < items.rows(); ++i) {
    if (fault_.is(Rule::kNoFailure) && rows_ == 3) {
      if (fault_.way == 0) return absl::InternalError("does not like the third row");
      throw std::runtime_error("does not like the third row");
    }
    Take(items[i], items.times()[i], out);
    if (fault_.is(Rule::kBatchCuts) && i == 1) break;
  }
  return Progress::kDone;
}

StatusOr<Progress> Totals::Resume(Output& out) {
  if (fault_.is(Rule::kProgress, 0)) return Progress::kMoreOutput;
  if (fault_.is(Rule::kProgress, 1)) return Progress::kBlocked;
  // Whoever calls may have been woken by something else; then the rows are lost.
  if (fault_.is(Rule::kBlockedEverywhere) && *ready_) {
    const Batch<Item>& items = Batch<Item>::Of(std::as_const(*waiting_));
    for (size_t i = 0; i < items.rows(); ++i) Take(items[i], items.times()[i], out);
  }
  return Progress::kDone;
}

StatusOr<Progress> Totals::OnWatermark(Timestamp watermark, Output& out) {
  if (fault_.is(Rule::kFineTime)) ++*total_;
  if (fault_.is(Rule::kTimersInTime) && watermark < Seconds(100)) {
    Emit("timer", 0, watermark + 5, out);
  }
  if (fault_.is(Rule::kEndAnywhere) && watermark == kMaxTimestamp) return Progress::kDone;
  fed_ = false;
  if (!fault_.is(Rule::kWatermarkBehindRows)) Put(out);
  return Progress::kDone;
}

StatusOr<Progress> Totals::Drain(DrainReason reason, Output& out) {
  if (reason == DrainReason::kEndOfInput) {
    if (!fault_.is(Rule::kEndAnywhere) || fed_) Put(out);
    ended_ = true;
  } else {
    if (fault_.is(Rule::kBarriers)) *total_ = 0;
    if (fault_.is(Rule::kNothingAfterEnd) && ended_) Emit("end", 0, kMaxTimestamp, out);
  }
  return Progress::kDone;
}

std::unique_ptr<Frozen> Totals::Freeze(CheckpointId) {
  if (fault_.is(Rule::kRestore)) return nullptr;
  if (fault_.is(Rule::kFrozenIsIndependent)) return std::make_unique<LateFrozen>(total_);
  if (fault_.is(Rule::kFreezeAtOnce)) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
    while (std::chrono::steady_clock::now() < until) {
    }
  }
  StateSnapshot snapshot;
  snapshot.format = "totals/1";
  snapshot.inline_bytes =
      fmt::format("{}|{}|{}", *total_, held_ ? held_->time : 0, held_ ? held_->key : "");
  return std::make_unique<FrozenSnapshot>(std::move(snapshot));
}

void Totals::OnCheckpointComplete(CheckpointId) {
  if (fault_.is(Rule::kCheckpointComplete)) ++*total_;
  if (fault_.is(Rule::kEmitsWithinCalls) && output_ != nullptr) {
    Emit("late", 0, kMaxTimestamp, *output_);
  }
}

Timestamp Totals::OutputWatermark(Timestamp input) const {
  if (fault_.is(Rule::kWatermarkNotAhead) && input < kMaxTimestamp) return input + 1;
  if (fault_.is(Rule::kWatermarkNeverFalls) && input > 0) return input - rows_ * Seconds(1);
  if (!held_ || fault_.is(Rule::kWatermarkBehindRows)) return input;
  return std::min(input, held_->time - 1);
}

StatusOr<StateDescription> Counts::DescribeState() {
  return DescribeKeyedState([this](KeyedStore& store) -> Status {
    if (fault_.is(Rule::kDescribedState)) return absl::OkStatus();
    return ValueState<int64_t>::Register(store, "count").status();
  });
}

Status Counts::Open(OperatorContext& context) {
  subtask_ = context.subtask;
  WEIR_ASSIGN_OR_RETURN(count_, ValueState<int64_t>::Register(*context.keyed, "count"));
  return absl::OkStatus();
}

StatusOr<Progress> Counts::Process(int, BatchPtr batch, Output& out) {
  const Batch<Item>& items = Batch<Item>::Of(std::as_const(*batch));
  auto made = std::make_unique<Batch<Item>>();
  made->slabs().Unite(items.slabs());
  for (size_t i = 0; i < items.rows(); ++i) {
    const StateKey key = MakeStateKey(fault_.is(Rule::kOwnKeys) ? "all" : items[i].key);
    WEIR_ASSIGN_OR_RETURN(auto before, count_.Get(key));
    WEIR_RETURN_IF_ERROR(count_.Set(key, before.value_or(0) + 1));
    made->Add({items[i].key, before.value_or(0) + (fault_.is(Rule::kRescale) ? subtask_ : 0)},
              items.times()[i]);
  }
  out.Emit(0, std::move(made));
  return Progress::kDone;
}

StatusOr<StateDescription> Numbers::DescribeState() {
  return DescribeKeyedState([this](KeyedStore& store) -> Status {
    if (fault_.is(Rule::kDescribedState)) return absl::OkStatus();
    return ValueState<int64_t>::Register(store, "position").status();
  });
}

Status Numbers::Open(OperatorContext& context) {
  WEIR_ASSIGN_OR_RETURN(position_, ValueState<int64_t>::Register(*context.keyed, "position"));
  for (const char* split : {"one", "two", "three", "four"}) {
    const bool own = context.key_groups.Contains(KeyGroupOf(MakeStateKey(split).hash));
    if (own || fault_.is(Rule::kOwnKeys)) splits_.emplace_back(split);
  }
  return absl::OkStatus();
}

StatusOr<PollResult> Numbers::Poll(Output& out) {
  for (const std::string& split : splits_) {
    WEIR_ASSIGN_OR_RETURN(auto stored, position_.Get(MakeStateKey(split)));
    const int64_t position = fault_.is(Rule::kRestore) ? read_ : stored.value_or(0);
    if (position == 5) continue;
    auto batch = std::make_unique<Batch<Item>>();
    SlabArena arena;
    batch->Add({arena.Copy(split), position}, Seconds(position + 1));
    arena.Release(batch->slabs());
    out.Emit(0, std::move(batch));
    ++read_;
    WEIR_RETURN_IF_ERROR(position_.Set(MakeStateKey(split), position + 1));
    if (fault_.is(Rule::kWatermarkBehindRows)) watermark_ = Seconds(position + 3);
    if (fault_.is(Rule::kWatermarkNeverFalls)) watermark_ = -Seconds(position);
    return PollResult{PollResult::kMore};
  }
  if (fault_.is(Rule::kProgress)) return PollResult{PollResult::kMore};
  return PollResult{PollResult::kFinished};
}

Status ShelfSink::Open(OperatorContext& context) {
  instance_ = fmt::format("{}/{}", context.attempt, context.subtask);
  return absl::OkStatus();
}

StatusOr<Progress> ShelfSink::Write(BatchPtr batch, Output&) {
  for (const Item& item : Batch<Item>::Of(std::as_const(*batch)).values()) {
    rows_.push_back(fmt::format("\"{}{}\"", item.key, item.n));
  }
  return Progress::kDone;
}

std::unique_ptr<Frozen> ShelfSink::Freeze(CheckpointId checkpoint) {
  if (rows_.empty()) return nullptr;
  StateSnapshot snapshot;
  const std::string handle = fmt::format("{}/{}", instance_, checkpoint);
  shelf_->pending[handle] = std::exchange(rows_, {});
  if (!fault_.is(Rule::kBarriers) || checkpoint % 3 != 0) snapshot.handles.push_back(handle);
  return std::make_unique<FrozenSnapshot>(std::move(snapshot));
}

Status ShelfSink::Commit(std::string_view handle) {
  const std::string name(handle);
  if (!shelf_->handles.insert(name).second && !fault_.is(Rule::kCheckpointComplete)) {
    return absl::OkStatus();
  }
  for (const std::string& row : shelf_->pending[name]) shelf_->committed.push_back(row);
  return absl::OkStatus();
}

}  // namespace weir::testing
