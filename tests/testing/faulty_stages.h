// Operators, a source and a sink for the tests of the conformance kit: each keeps every rule, but
// for the one that it is told to break.
#pragma once

#include <atomic>
#include <boost/describe/class.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operators/sink.h"
#include "operators/source.h"
#include "state/keyed_state.h"
#include "testing/conformance.h"

namespace weir::testing {

struct Item {
  std::string_view key;
  int64_t n = 0;
  BOOST_DESCRIBE_CLASS(Item, (), (key, n), (), ())
};

// Which rule is broken, if any, and in which of several ways.
struct Fault {
  std::optional<Rule> rule;
  int way = 0;
  bool is(Rule r) const { return rule == r; }
  bool is(Rule r, int w) const { return rule == r && way == w; }
};

// Holds each row back until the next one, a watermark or the end comes, and puts out the total so
// far with it. A negative row is rejected.
class Totals final : public Operator {
 public:
  explicit Totals(Fault fault) : fault_(fault) {}

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  void OnCheckpointComplete(CheckpointId checkpoint) override;
  Timestamp OutputWatermark(Timestamp input) const override;

 private:
  struct Held {
    std::string key;
    Timestamp time = 0;
  };
  void Take(const Item& item, Timestamp time, Output& out);
  void Put(Output& out);
  void Emit(std::string_view key, int64_t n, Timestamp time, Output& out, int port = 0);

  const Fault fault_;
  OperatorContext context_;
  std::shared_ptr<int64_t> total_ = std::make_shared<int64_t>(0);
  std::optional<Held> held_;
  bool fed_ = false;  // the last call had rows
  bool ended_ = false;
  int rows_ = 0;
  Output* output_ = nullptr;
  BatchPtr waiting_;
  char text_[16] = {};  // what emitted rows point to, by mistake
  std::shared_ptr<std::atomic<bool>> ready_ = std::make_shared<std::atomic<bool>>(false);
};

// Counts rows by key, in keyed state.
class Counts final : public Operator {
 public:
  explicit Counts(Fault fault) : fault_(fault) {}
  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;

 private:
  const Fault fault_;
  int subtask_ = 0;
  ValueState<int64_t> count_;
};

// Puts out the numbers of four splits in turn.
class Numbers final : public Source {
 public:
  explicit Numbers(Fault fault) : fault_(fault) {}
  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<PollResult> Poll(Output& out) override;
  Timestamp watermark() const override { return watermark_; }

 private:
  const Fault fault_;
  ValueState<int64_t> position_;
  std::vector<std::string> splits_;
  int64_t read_ = 0;
  Timestamp watermark_ = kMinTimestamp;
};

// What has been committed, by a sink that may forget and may repeat itself.
struct Shelf {
  std::map<std::string, std::vector<std::string>> pending;
  std::vector<std::string> committed;
  std::set<std::string> handles;
};

class ShelfSink final : public Sink {
 public:
  ShelfSink(std::shared_ptr<Shelf> shelf, Fault fault) : shelf_(std::move(shelf)), fault_(fault) {}
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  Status Commit(std::string_view handle) override;

 private:
  const std::shared_ptr<Shelf> shelf_;
  const Fault fault_;
  std::string instance_;
  std::vector<std::string> rows_;
};

}  // namespace weir::testing
