// Router: writes into each event the label that its rules give it, Event.route, by which a file
// sink partitions. An event that several labels want goes out once for each, sharing its payload.
// Events that no label wants are dropped and counted.
//
// An event whose payload is not JSON is rejected if a rule had to look into it. No state.
#pragma once

#include <memory>
#include <vector>

#include "operators/operator.h"
#include "operators/transforms/router_rules.h"

namespace weir {

class Router final : public Operator {
 public:
  explicit Router(std::shared_ptr<const RouterRules> rules) : rules_(std::move(rules)) {}

  Status Open(OperatorContext& context) override;
  // Batch<Event> in, Batch<Event> out, on port 0.
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;

 private:
  // The batch with each event as often as it has labels.
  BatchPtr Expand(const Batch<Event>& batch) const;

  const std::shared_ptr<const RouterRules> rules_;
  OperatorCounters* counters_ = nullptr;
  LazyPayload payload_;
  // Of the batch at hand: all events' labels, one after the other, and where each event's end.
  std::vector<uint16_t> labels_;
  std::vector<uint32_t> ends_;
  std::vector<uint8_t> keep_;
};

}  // namespace weir
