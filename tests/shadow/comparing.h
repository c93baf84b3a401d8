#pragma once

// A comparator with its state, to do things to in tests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/hash.h"
#include "shadow/comparator.h"
#include "shadow/record.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {

inline constexpr Duration kPatience = Seconds(10);
inline constexpr const char* kRules = R"(
all: {key: [id], minimum: 1}
outputs:
  whole: {key: [none]}
  in-order: {key: [id], ordered: true}
)";

// What happens to a comparator, one after the other.
struct Step {
  int version = -1;  // -1: a watermark
  std::string output, line;
  Timestamp time = 0;
};

// A TappedRecord, with the bytes that it points to.
struct Tapped {
  Tapped(const ShadowRules& rules, const Step& step) {
    RecordReader reader(rules.For(step.output));
    const Record& record = reader.ReadUnpadded(step.line);
    output = step.output;
    key = record.key;
    text = record.text;
    const Fingerprint hash =
        Hash128(output + (key.empty() ? '\1' : '\0') + (key.empty() ? text : key));
    meeting = MeetingBytes(hash);
    version = static_cast<uint8_t>(step.version);
  }
  TappedRecord row() const { return {version, output, meeting, key, text}; }

  uint8_t version;
  std::string output, key, text, meeting;
};

// One comparator with its state; what it says counts from the next barrier on.
class Comparing {
 public:
  explicit Comparing(std::string_view yaml = kRules, Duration patience = kPatience,
                     size_t buffer_bytes = limits::kBufferBytesMax,
                     size_t keys_in_state = limits::kKeysInStateMax)
      : options_{RulesOf(yaml), patience, buffer_bytes, keys_in_state} {
    Open({});
  }

  void Do(const Step& step) {
    if (step.version < 0) return Check(op_->OnWatermark(step.time, out_));
    auto batch = std::make_unique<Batch<TappedRecord>>();
    const Tapped tapped(*options_.rules, step);
    SlabArena arena;
    TappedRecord row = tapped.row();
    for (std::string_view* view : {&row.output, &row.meeting, &row.key, &row.text}) {
      *view = arena.Copy(*view);
    }
    arena.Release(batch->slabs());
    batch->Add(row, step.time);
    Check(op_->Process(0, std::move(batch), out_));
  }
  void Do(const std::vector<Step>& steps) {
    for (const Step& step : steps) Do(step);
  }
  void Barrier() {
    Check(op_->Drain(DrainReason::kBarrier, out_));
    Commit();
    auto snapshot = store_->Freeze(++checkpoint_)->Write(snapshots_);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    snapshot_ = *std::move(snapshot);
  }
  // Back to the last barrier.
  void Crash() {
    out_.Clear();
    Open(snapshot_ ? testing::RestoreFor(0, 1, {*snapshot_}, snapshots_) : Restore{});
  }
  // What has come out and counts with the next barrier.
  std::vector<PartialResult> Drained() {
    Check(op_->Drain(DrainReason::kBarrier, out_));
    return out_.Rows<PartialResult>();
  }
  std::map<std::string, OutputStatistics> End() {
    Check(op_->OnWatermark(kMaxTimestamp, out_));
    Check(op_->Drain(DrainReason::kEndOfInput, out_));
    Commit();
    result_.Finish(*options_.rules);
    return result_.outputs();
  }

 private:
  void Open(const Restore& restore) {
    op_.reset();
    auto store = MakeHeapKeyedStore({"stage", KeyGroupsOf(0, 1)}, restore);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    op_ = MakeComparator(options_);
    bed_.context.keyed = store_.get();
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  void Check(StatusOr<Progress> progress) {
    while (progress.ok() && *progress == Progress::kMoreOutput) progress = op_->Resume(out_);
    ASSERT_TRUE(progress.ok()) << progress.status();
    ASSERT_EQ(*progress, Progress::kDone);
    ASSERT_THAT(out_.rejected, ::testing::IsEmpty());
  }
  void Commit() {
    for (const PartialResult& part : out_.Rows<PartialResult>()) {
      const PartialResult read = Travelled(part);
      if (read.statistics) result_.Add(*read.statistics);
      if (read.leftover) result_.Add(*read.leftover);
    }
    out_.Clear();
  }

  const ComparatorOptions options_;
  testing::OperatorBed bed_;
  testing::MemorySnapshots snapshots_;
  std::optional<StateSnapshot> snapshot_;
  CheckpointId checkpoint_ = 0;
  std::unique_ptr<KeyedStore> store_;
  std::unique_ptr<Operator> op_;
  testing::RecordingOutput out_;
  ShadowResult result_;
};

// A record of each version; an empty line is none.
inline std::vector<Step> Versions(std::string output, Timestamp time, std::string a, std::string b,
                                  std::string c) {
  std::vector<Step> steps;
  int version = 0;
  for (std::string* line : {&a, &b, &c}) {
    if (!line->empty()) steps.push_back({version, output, std::move(*line), time});
    ++version;
  }
  return steps;
}
inline std::vector<Step> Versions(std::string output, Timestamp time, const std::string& all) {
  return Versions(std::move(output), time, all, all, all);
}

inline Step Watermark(Timestamp time) { return {-1, "", "", time}; }

// Each kind of finding once, and watermarks in between.
inline std::vector<Step> EachKind() {
  std::vector<Step> steps;
  const auto add = [&](const std::vector<Step>& more) {
    steps.insert(steps.end(), more.begin(), more.end());
  };
  add(Versions("equal", Seconds(1), R"({"id":1,"v":1})"));
  add(Versions("value", Seconds(1), R"({"id":1,"v":1})", R"({"id":1,"v":1})", R"({"id":1,"v":2})"));
  add(Versions("noise", Seconds(2), R"({"id":1,"v":1})", R"({"id":1,"v":3})", R"({"id":1,"v":2})"));
  add(Versions("missing", Seconds(2), R"({"id":1})", R"({"id":1})", ""));
  steps.push_back(Watermark(Seconds(3)));
  add(Versions("extra", Seconds(3), R"({"id":1})"));
  add(Versions("extra", Seconds(3), "", "", R"({"id":1})"));
  add(Versions("whole", Seconds(4), R"({"v":"same"})"));
  add(Versions("whole", Seconds(4), R"({"v":1,"w":"x"})", R"({"v":1,"w":"x"})",
               R"({"v":2,"w":"x"})"));
  add(Versions("in-order", Seconds(5), R"({"id":1,"v":1})", R"({"id":1,"v":1})",
               R"({"id":1,"v":2})"));
  steps.push_back(Watermark(Seconds(12)));
  add(Versions("in-order", Seconds(12), R"({"id":1,"v":2})", R"({"id":1,"v":2})",
               R"({"id":1,"v":1})"));
  add(Versions("without-key", Seconds(13), R"({"v":1})"));
  return steps;
}

}  // namespace weir::shadow
