#include "testing/script_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir::testing {
namespace {

constexpr const char* kPositions = "positions";

}  // namespace

SourceScript::SourceScript(std::shared_ptr<const RowCodec> codec, SourceOptions options)
    : codec_(std::move(codec)), options_(options) {
  WEIR_CHECK(options_.splits >= 1 && options_.batch_rows >= 1);
  splits_.resize(options_.splits);
}

void SourceScript::AddRow(std::string_view encoded) {
  StatusOr<BatchPtr> row = codec_->DecodeBatch(CopyToSlab(encoded));
  WEIR_CHECK(row.ok() && (*row)->rows() == 1 && !ended_);
  splits_[rows_++ % splits_.size()].push_back({.row = *std::move(row)});
  Wake();
}

void SourceScript::AddToAll(bool is_watermark, int64_t time) {
  WEIR_CHECK(!ended_);
  for (auto& split : splits_) split.push_back({.is_watermark = is_watermark, .time = time});
  Wake();
}

void SourceScript::AddWatermark(Timestamp time) { AddToAll(true, time); }
void SourceScript::AddWait(Duration duration) { AddToAll(false, duration); }

void SourceScript::End() {
  ended_ = true;
  Wake();
}

void SourceScript::Wake() {
  for (const auto& wake : wakes_) wake();
}

StatusOr<StateDescription> ScriptSource::DescribeState() {
  return DescribeKeyedState(
      [](KeyedStore& store) { return ValueState<int64_t>::Register(store, kPositions).status(); });
}

Status ScriptSource::Open(OperatorContext& context) {
  clock_ = &context.env->clock;
  WEIR_ASSIGN_OR_RETURN(positions_, ValueState<int64_t>::Register(*context.keyed, kPositions));
  for (int i = 0; i < script_->options_.splits; ++i) {
    std::string name = fmt::format("rows-{}", i);
    if (!context.key_groups.Contains(KeyGroupOf(MakeStateKey(name).hash))) continue;
    WEIR_ASSIGN_OR_RETURN(auto position, positions_.Get(MakeStateKey(name)));
    Split& split = splits_.emplace_back(Split{i, std::move(name)});
    // The watermark follows from what lies before the position.
    for (split.position = 0; split.position < position.value_or(0);) Pass(split);
  }
  script_->wakes_.push_back(context.wake);
  return absl::OkStatus();
}

// Steps over the element at the split's position.
void ScriptSource::Pass(Split& split) {
  const SourceScript::Element& element = script_->splits_[split.index][split.position++];
  if (element.is_watermark) split.watermark = std::max(split.watermark, element.time);
  if (element.row != nullptr && script_->options_.watermark_lag) {
    split.watermark =
        std::max(split.watermark, element.row->times()[0] - *script_->options_.watermark_lag);
  }
  split.wait_until.reset();
}

StatusOr<bool> ScriptSource::Read(Split& split, Output& out) {
  const auto& elements = script_->splits_[split.index];
  const Timestamp watermark = split.watermark;
  const int64_t position = split.position;
  auto at = [&] { return static_cast<size_t>(split.position); };
  BatchPtr rows;
  while (at() < elements.size() && split.watermark == watermark) {
    const SourceScript::Element& element = elements[at()];
    if (element.row != nullptr) {
      if (rows == nullptr) rows = script_->codec_->NewBatch();
      rows->Append(*element.row->Clone());
      Pass(split);
      if (rows->rows() == script_->options_.batch_rows) break;
      continue;
    }
    if (rows != nullptr) break;  // what follows them does not come with them
    if (!element.is_watermark) {
      if (!split.wait_until) split.wait_until = clock_->MonotonicMicros() + element.time;
      if (clock_->MonotonicMicros() < *split.wait_until) break;
    }
    Pass(split);
  }
  if (split.position == position) return false;
  WEIR_RETURN_IF_ERROR(positions_.Set(MakeStateKey(split.name), split.position));
  if (rows != nullptr) out.Emit(0, std::move(rows));
  return true;
}

StatusOr<PollResult> ScriptSource::Poll(Output& out) {
  for (size_t tried = 0; tried < splits_.size(); ++tried) {
    WEIR_ASSIGN_OR_RETURN(const bool read, Read(splits_[turn_++ % splits_.size()], out));
    if (read) return PollResult{PollResult::kMore};
  }
  int64_t next = kMaxTimestamp;
  bool all_read = true;
  for (const Split& split : splits_) {
    all_read &= static_cast<size_t>(split.position) == script_->splits_[split.index].size();
    if (split.wait_until) next = std::min(next, *split.wait_until);
  }
  if (all_read && script_->ended()) return PollResult{PollResult::kFinished};
  return PollResult{PollResult::kIdle, next};
}

Timestamp ScriptSource::watermark() const {
  Timestamp least = splits_.empty() ? kMinTimestamp : kMaxTimestamp;
  for (const Split& split : splits_) least = std::min(least, split.watermark);
  return least;
}

}  // namespace weir::testing
