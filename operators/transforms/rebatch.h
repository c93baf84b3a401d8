// RebatchOperator: gathers rows into batches of the size that what follows wants.
//
// It emits a batch as soon as it has `rows` rows, or when the next row would take it over `bytes`
// (one row that is bigger is a batch of its own), or when `delay` has passed since its first row
// came, and what is open at the end of the input. A batch of the input may make several. Where what
// follows is slow (operators/pace.h), fewer bytes are enough.
//
// The open batch is state: it stays where it is at a barrier and may outlive a checkpoint. After a
// restart at another parallelism every one of its rows is taken up exactly once (open_rows.h). What
// was restored goes out at once, in front of the first barrier: what was read behind it may be
// elsewhere now.
//
// No watermark overtakes a row: one that comes while a batch is open goes on when the rows that
// came before it have.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/row_codec.h"
#include "operators/operator.h"
#include "operators/transforms/held_watermarks.h"

namespace weir {

// Zero: no such limit. One of `rows` and `bytes` must be set.
struct RebatchOptions {
  size_t rows = limits::kBatchRowsDefault;
  size_t bytes = 4 << 20;  // of rows, their columns and what they point to (BatchBase::bytes)
  Duration delay = Milliseconds(100);

  // Of a rebatch by key (keyed_rebatch.h), for each instance. Never zero.
  size_t open_batches = limits::kRebatchOpenMax;
  size_t open_bytes = limits::kRebatchOpenBytes;  // of all open batches together
};

// "rows=1024 bytes=4MiB delay=100ms", for plans and fingerprints.
std::string ToText(const RebatchOptions& options);
// InvalidArgument says what is wrong.
Status Validate(const RebatchOptions& options);

class RebatchOperator final : public Operator {
 public:
  RebatchOperator(RebatchOptions options, std::shared_ptr<const RowCodec> codec);

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override;
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  Timestamp OutputWatermark(Timestamp input) const override {
    return watermarks_.OutputWatermark(input);
  }

 private:
  // Cuts what was restored, which may be more than one batch, before anything else happens.
  void CutRestored(Output& out);
  // Adds rows behind the open ones and emits every batch that is full.
  void Add(BatchPtr batch, Output& out);
  void AddPiece(BatchPtr batch, Output& out);
  void EmitOpen(Output& out);
  void StartDelay();
  void Keep(BatchPtr rows);

  const RebatchOptions options_;
  const std::shared_ptr<const RowCodec> codec_;
  Clock* clock_ = nullptr;
  TimerService* timers_ = nullptr;

  BatchPtr open_;
  size_t open_bytes_ = 0;   // as RowCodec::RowBytes counts
  int64_t deadline_ = 0;    // of the open batch, while there is one and a delay
  size_t merged_rows_ = 0;  // rows of the open batch when its slabs were merged last
  bool cut_restored_ = false;
  std::vector<size_t> row_bytes_;

  uint64_t rows_received_ = 0;
  uint64_t rows_emitted_ = 0;
  HeldWatermarks watermarks_;
};

}  // namespace weir
