// Router: writes into each event the label of the route that its rules give it, Event.route, by
// which a file sink partitions, and sends it out by the route's port. An event that takes several
// routes goes out once for each, sharing its payload. Events that take none are dropped and
// counted; those that a rule cannot judge are rejected (a payload that is not JSON, a predicate
// that fails). No state.
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
  // The content is a RouterRules.
  Status OnReload(const Reloaded& reloaded) override;
  // Batch<Event> in, Batch<Event> out, on the ports of the rules.
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;

 private:
  // The batch with each event as often as it has routes, as a batch for each port.
  void EmitByPort(const Batch<Event>& batch, Output& out);

  std::shared_ptr<const RouterRules> rules_;
  OperatorCounters* counters_ = nullptr;
  PayloadFields payload_;
  RouteMatches matches_;  // of the batch at hand
  std::vector<uint8_t> keep_;
};

}  // namespace weir
