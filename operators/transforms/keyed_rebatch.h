// KeyedRebatch: gathers rows into batches of one key each, of the size that what follows wants.
//
//   auto tenant = [](const Event& e) { return e.tenant; };
//   KeyedRebatch<Event, decltype(tenant)> rebatch({.rows = 500, .delay = Seconds(1)}, tenant);
//
// A batch goes out as RebatchOptions say, each key by itself: with `rows` rows, when the next row
// would take it over `bytes`, or `delay` after its first row came. Not more than `open_batches` are
// open at a time: where one more is needed, the oldest goes out. Not more than `open_bytes` lie in
// them, but for one batch of the input: beyond it the fullest goes out. Rows of one key keep their
// order. What is chained behind gets the batches as they are; a channel cuts and coalesces.
//
// Open rows lie encoded in a buffer of their batch's own, so that a tenant of which a row comes now
// and then does not hold the memory that its rows were read into. They are state: they stay where
// they are at a barrier, and after a restart they go to the owner of their key (open_rows.h), which
// puts them out at once, in front of the first barrier: what was read behind them may be elsewhere
// now. The stream must be keyed by the same key, or have one subtask.
//
// No watermark overtakes a row: one that comes while batches are open goes on when all rows that
// came before it have. So a delay is required: a key without more rows would hold it for ever.
//
// A row whose key function fails is rejected.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/hash.h"
#include "core/row_codec.h"
#include "operators/operator.h"
#include "operators/transforms/held_watermarks.h"
#include "operators/transforms/key_bytes.h"
#include "operators/transforms/rebatch.h"
#include "operators/transforms/user_call.h"

namespace weir {

// "rows=1024 bytes=4MiB delay=100ms open_batches=1024 open_bytes=16MiB".
std::string ToTextByKey(const RebatchOptions& options);
// InvalidArgument says what is wrong.
Status ValidateByKey(const RebatchOptions& options);

// What does not depend on the row's type.
class KeyedRebatchBase : public Operator {
 public:
  KeyedRebatchBase(RebatchOptions options, std::shared_ptr<const RowCodec> codec);

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override;
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  Timestamp OutputWatermark(Timestamp input) const override {
    return watermarks_.OutputWatermark(input);
  }

 protected:
  // A row's key; of one that has none (`rejected`) nothing else is set.
  struct Key {
    Fingerprint id;
    bool rejected = false;
  };
  // Encoded rows and their times.
  struct Rows {
    std::string bytes;
    std::vector<Timestamp> times;
  };

  // Appends a key for every row, and rejects those whose key function fails, if `out` is given.
  virtual void AppendKeys(const BatchBase& batch, std::vector<Key>& keys, Output* out) = 0;
  // Appends row i to *to[i], but for those that are null.
  virtual void AppendRows(const BatchBase& batch, const std::vector<Rows*>& to) = 0;
  // The batch of rows that lie in these, one after the other.
  virtual BatchPtr Decode(const std::vector<std::shared_ptr<Rows>>& parts) = 0;

 private:
  struct OpenBatch {
    Fingerprint key;
    uint64_t first_row = 0;  // how many rows had been received before its first
    int64_t deadline = 0;
    size_t rows = 0;
    size_t bytes = 0;  // as RowCodec::RowBytes counts
    // Those before the last belong to checkpoints that are being written as well, and change no
    // more.
    std::vector<std::shared_ptr<Rows>> parts;
    BatchPtr alone;  // a row too big to be copied; then there is nothing else
  };
  using OpenList = std::list<OpenBatch>;  // in the order in which they were opened
  struct LowHalf {
    size_t operator()(const Fingerprint& key) const { return key.low; }
  };
  class FrozenBatches;

  void TakeUpRestored(Output& out);
  void Add(const BatchBase& batch, Output& out);
  OpenList::iterator BatchFor(const Fingerprint& key, size_t row_bytes, int64_t now);
  void Seal(OpenList::iterator batch);
  void EmitSealed(Output& out);
  Progress EmitDue(Output& out);
  void SetTimer(int64_t time);
  // Every row that came before this many has left.
  uint64_t RowsOut() const { return open_.empty() ? rows_received_ : open_.front().first_row; }

  const RebatchOptions options_;
  const std::shared_ptr<const RowCodec> codec_;
  Clock* clock_ = nullptr;
  TimerService* timers_ = nullptr;

  OpenList open_;
  absl::flat_hash_map<Fingerprint, OpenList::iterator, LowHalf> by_key_;
  OpenList sealed_;  // full ones of the call under way, in the order in which they became so
  size_t open_bytes_ = 0;
  int64_t due_ = INT64_MIN;       // batches with a deadline up to this go out
  std::optional<int64_t> timer_;  // the one that is set
  BatchPtr restored_;             // until the first call that may emit

  // Of the batch under way.
  std::vector<Key> keys_;
  std::vector<size_t> row_bytes_;
  std::vector<Rows*> targets_;

  uint64_t rows_received_ = 0;
  HeldWatermarks watermarks_;
};

// `KeyFn` returns a string, a string_view into the row or any type with a Codec.
template <class T, class KeyFn>
class KeyedRebatch final : public KeyedRebatchBase {
 public:
  KeyedRebatch(RebatchOptions options, KeyFn key)
      : KeyedRebatchBase(options, MakeRowCodec<T>()), key_(std::move(key)) {}

 protected:
  void AppendKeys(const BatchBase& batch, std::vector<Key>& keys, Output* out) override {
    const Batch<T>& rows = Batch<T>::Of(batch);
    for (size_t i = 0; i < rows.rows(); ++i) {
      Key key;
      Status status = internal::GuardedCall([&] {
        key.id = Hash128(KeyBytes(key_(rows[i]), buffer_));
        return absl::OkStatus();
      });
      if (!status.ok()) {
        key.rejected = true;
        if (out != nullptr) internal::RejectRow(rows[i], rows.times()[i], status, *out);
      }
      keys.push_back(key);
    }
  }
  void AppendRows(const BatchBase& batch, const std::vector<Rows*>& to) override {
    const Batch<T>& rows = Batch<T>::Of(batch);
    for (size_t i = 0; i < rows.rows(); ++i) {
      if (to[i] == nullptr) continue;
      Codec<T>::Encode(rows[i], to[i]->bytes);
      to[i]->times.push_back(rows.times()[i]);
    }
  }
  BatchPtr Decode(const std::vector<std::shared_ptr<Rows>>& parts) override {
    size_t rows = 0;
    for (const auto& part : parts) rows += part->times.size();
    auto batch = std::make_unique<Batch<T>>();
    batch->Reserve(rows);
    size_t view_bytes = 0;
    for (const auto& part : parts) {
      SlabPtr slab = CopyToSlab(part->bytes);
      ByteReader in(slab->view());
      for (Timestamp time : part->times) {
        T row{};
        WEIR_CHECK(Codec<T>::Decode(in, row));
        view_bytes += Codec<T>::ViewBytes(row);
        batch->Add(std::move(row), time);
      }
      batch->slabs().Add(std::move(slab));
    }
    batch->AddViewBytes(view_bytes);
    return batch;
  }

 private:
  KeyFn key_;
  std::string buffer_;
};

}  // namespace weir
