// Dedup: lets the first of equal rows through and drops the others, exactly, for a window of event
// time.
//
//   auto key = [](const Event& e) { return e.id; };
//   Dedup<Event, decltype(key)> dedup({.window = Hours(24)}, key);
//
// Two rows are equal if their keys are. What counts as a duplicate, slice by slice of window/8, is
// defined in state/id_store.h. A row below the floor, which follows the watermark 8 slices behind,
// is late: it is rejected, since it can no longer be told whether it was seen before. Of equal rows
// the one that arrives first is kept. Rows keep their order, times and key hashes; they leave on
// port 0.
//
// The stream must be keyed by the same key, or have one subtask. State: the ids (format
// id-store/1), dealt out anew when the parallelism changes; another window needs a fresh start.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/row_codec.h"
#include "operators/operator.h"
#include "operators/transforms/user_call.h"
#include "state/id_store.h"

namespace weir {

struct DedupOptions {
  Duration window = Hours(24);  // a positive multiple of 8 microseconds
  size_t unwritten_bytes_max =
      limits::kFrozenBytesMax;                // ids in memory alone before they are spilled
  size_t kept_bytes = limits::kIdsKeptBytes;  // of written ids that stay in memory
};

// What does not depend on the row's type.
class DedupBase : public Operator {
 public:
  explicit DedupBase(DedupOptions options) : options_(options) {}

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  void Close() override;
  // Slices between the inputs' watermarks cannot be freed: a window's worth of them is enough.
  std::optional<Duration> watermark_drift_max() const override { return options_.window; }

 protected:
  virtual void AppendFingerprints(const BatchBase& batch, std::vector<Fingerprint>& ids) = 0;
  virtual void RejectRow(const BatchBase& batch, size_t row, const Status& status, Output& out) = 0;
  virtual void CompactIfSparse(BatchPtr& batch) = 0;

 private:
  void CutIntoSlices(std::span<const Timestamp> times);
  Status LateStatus(Timestamp time) const;

  const DedupOptions options_;
  OperatorCounters* counters_ = nullptr;
  std::unique_ptr<IdStore> store_;
  BatchPtr waiting_;  // taken while the store was full

  // Of the batch under way.
  std::vector<Fingerprint> ids_;
  std::vector<int64_t> slices_;
  std::vector<IdStore::Verdict> verdicts_;
  std::vector<uint8_t> keep_;
};

// `KeyFn` is std::string_view(const T&); the view need only live until the next call.
template <class T, class KeyFn>
class Dedup final : public DedupBase {
 public:
  Dedup(DedupOptions options, KeyFn key) : DedupBase(options), key_(std::move(key)) {}

 protected:
  void AppendFingerprints(const BatchBase& batch, std::vector<Fingerprint>& ids) override {
    for (const T& row : Batch<T>::Of(batch).values()) ids.push_back(Hash128(key_(row)));
  }
  void RejectRow(const BatchBase& batch, size_t row, const Status& status, Output& out) override {
    internal::RejectRow(Batch<T>::Of(batch)[row], batch.times()[row], status, out);
  }
  void CompactIfSparse(BatchPtr& batch) override { codec_->CompactIfSparse(batch); }

 private:
  KeyFn key_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
};

}  // namespace weir
