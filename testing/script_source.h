// ScriptSource: a source that says what a test has written down, in place of a job's own.
//
// The script is shared by the test and the instances of all attempts. Its rows are dealt out in
// turn to a number of splits; each split belongs to the owner of its name's key group, and its
// position is keyed state, as with any source: so it goes on from a checkpoint, at any parallelism.
// Used by TestJob, on the test's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/row_codec.h"
#include "operators/source.h"
#include "state/keyed_state.h"

namespace weir::testing {

struct SourceOptions {
  int splits = 1;            // more than one: rows keep their order within a split only
  size_t batch_rows = 1024;  // rows that follow each other in a split travel together
  // The watermark follows the highest time of a split's rows at this distance; none: it is where
  // the script says.
  std::optional<Duration> watermark_lag;
};

class SourceScript {
 public:
  SourceScript(std::shared_ptr<const RowCodec> codec, SourceOptions options);

  // A batch of one row, as the codec encodes it. REQUIRES: it is one.
  void AddRow(std::string_view encoded);
  void AddWatermark(Timestamp time);
  // What follows comes so much later, by the clock.
  void AddWait(Duration duration);
  // Nothing follows; what is added all the same is a mistake of the test.
  void End();
  bool ended() const { return ended_; }

  // Instances that were made before are gone.
  void Detach() { wakes_.clear(); }

 private:
  friend class ScriptSource;
  struct Element {
    BatchPtr row;  // null: a watermark or a wait
    bool is_watermark = false;
    int64_t time = 0;
  };

  void AddToAll(bool is_watermark, int64_t time);
  void Wake();

  const std::shared_ptr<const RowCodec> codec_;
  const SourceOptions options_;
  std::vector<std::vector<Element>> splits_;
  size_t rows_ = 0;
  bool ended_ = false;
  std::vector<std::function<void()>> wakes_;
};

class ScriptSource final : public Source {
 public:
  explicit ScriptSource(std::shared_ptr<SourceScript> script) : script_(std::move(script)) {}

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<PollResult> Poll(Output& out) override;
  Timestamp watermark() const override;
  bool idle() const override { return splits_.empty(); }

 private:
  struct Split {
    int index;
    std::string name;
    int64_t position = 0;
    Timestamp watermark = kMinTimestamp;
    std::optional<int64_t> wait_until;
  };
  // Whether the split has put out rows or has moved its watermark.
  StatusOr<bool> Read(Split& split, Output& out);
  void Pass(Split& split);

  const std::shared_ptr<SourceScript> script_;
  Clock* clock_ = nullptr;
  ValueState<int64_t> positions_;
  std::vector<Split> splits_;  // this instance's
  size_t turn_ = 0;
};

}  // namespace weir::testing
