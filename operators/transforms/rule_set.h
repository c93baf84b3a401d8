// RuleSet: routing rules as predicates in C++, for Stream::Route().
//
//   RuleSet()
//       .When("alerts", [](const Event& e) { return e.priority >= 5; })
//       .When({.label = "eu", .port = "europe"}, [](const Event& e) { return e.tenant == "eu"; })
//       .Otherwise("warehouse")
//
// A predicate is bool(const Event&) or StatusOr<bool>(const Event&); an event on which it fails or
// throws is rejected. The predicates are part of the set's type, so calling them costs no more than
// writing the conditions one behind the other. They are called from several threads at once, as
// const objects, and keep nothing of the event.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "operators/transforms/router_rules.h"
#include "operators/transforms/user_call.h"

namespace weir {

// Where a rule sends events: a label, and a port of the stage, empty for the stream that Route()
// returns. Without a label it is the port's name.
struct RouteTo {
  std::string label;
  std::string port;
};

namespace internal {

struct RulePlan {
  std::vector<RouteTo> to;  // by rule
  std::optional<RouteTo> fallback = RouteTo{std::string(kDefaultRoute), ""};
  bool match_all = false;
};
struct ResolvedPlan {
  std::vector<Route> routes;      // distinct
  std::vector<uint16_t> of_rule;  // by rule: which of them
  std::optional<uint16_t> fallback;
  bool match_all = false;
};
// InvalidArgument for a label that is none, or a port that is not among `ports`.
StatusOr<ResolvedPlan> Resolve(const RulePlan& plan, const std::vector<std::string>& ports);

template <class... Predicates>
class PredicateRules final : public RouterRules {
 public:
  PredicateRules(ResolvedPlan plan, std::tuple<Predicates...> predicates)
      : RouterRules(plan.match_all, std::move(plan.routes)),
        of_rule_(std::move(plan.of_rule)),
        fallback_(plan.fallback),
        predicates_(std::move(predicates)) {}

  void Match(const Batch<Event>& batch, PayloadFields&, RouteMatches& matches) const override {
    matches.Clear();
    const auto events = batch.values();
    for (size_t i = 0; i < events.size(); ++i) {
      const size_t begin = matches.routes.size();
      Status status = GuardedCall([&] { return MatchOne(events[i], begin, matches.routes); });
      if (!status.ok()) {
        matches.routes.resize(begin);
        matches.failures.push_back({i, std::move(status)});
      }
      matches.ends.push_back(static_cast<uint32_t>(matches.routes.size()));
    }
  }
  size_t rules() const override { return sizeof...(Predicates); }

 private:
  Status MatchOne(const Event& event, size_t begin, std::vector<uint16_t>& routes) const {
    Status status;
    size_t rule = 0;
    // Ends at the first predicate that returns true here: the event's way is known, or it failed.
    auto try_one = [&](const auto& predicate) {
      const size_t at = rule++;
      auto holds = predicate(event);
      if constexpr (kIsStatusOr<decltype(holds)>) {
        if (!holds.ok()) {
          status = holds.status();
          return true;
        }
        if (!*holds) return false;
      } else {
        if (!holds) return false;
      }
      AddRoutes({&of_rule_[at], 1}, begin, routes);
      return !match_all();
    };
    std::apply([&](const auto&... predicate) { (void)(try_one(predicate) || ...); }, predicates_);
    if (status.ok() && routes.size() == begin && fallback_) routes.push_back(*fallback_);
    return status;
  }

  const std::vector<uint16_t> of_rule_;
  const std::optional<uint16_t> fallback_;
  const std::tuple<Predicates...> predicates_;
};

}  // namespace internal

template <class... Predicates>
class RuleSet {
 public:
  RuleSet() requires(sizeof...(Predicates) == 0) {}

  template <class Predicate>
  RuleSet<Predicates..., Predicate> When(RouteTo to, Predicate predicate) && {
    static_assert(std::is_invocable_v<const Predicate&, const Event&>,
                  "a predicate is bool(const Event&) or StatusOr<bool>(const Event&)");
    plan_.to.push_back(std::move(to));
    return {std::move(plan_),
            std::tuple_cat(std::move(predicates_), std::tuple<Predicate>(std::move(predicate)))};
  }
  template <std::convertible_to<std::string> Label, class Predicate>
  auto When(Label label, Predicate predicate) && {
    return std::move(*this).When(RouteTo{std::move(label), ""}, std::move(predicate));
  }

  // An event goes out once for each rule that holds; without this, by the first one alone.
  RuleSet MatchAll() && {
    plan_.match_all = true;
    return std::move(*this);
  }
  // Where events go that no rule takes: without this, to "warehouse".
  RuleSet Otherwise(std::string label) && {
    plan_.fallback = RouteTo{std::move(label), ""};
    return std::move(*this);
  }
  // Events that no rule takes are dropped and counted.
  RuleSet OtherwiseDrop() && {
    plan_.fallback.reset();
    return std::move(*this);
  }

  // For Stream::Route(). `ports`: what the stage declares, from port 1 on.
  StatusOr<std::shared_ptr<const RouterRules>> Build(const std::vector<std::string>& ports) const {
    WEIR_ASSIGN_OR_RETURN(internal::ResolvedPlan plan, internal::Resolve(plan_, ports));
    return std::make_shared<internal::PredicateRules<Predicates...>>(std::move(plan), predicates_);
  }

 private:
  template <class...>
  friend class RuleSet;
  RuleSet(internal::RulePlan plan, std::tuple<Predicates...> predicates)
      : plan_(std::move(plan)), predicates_(std::move(predicates)) {}

  internal::RulePlan plan_;
  std::tuple<Predicates...> predicates_;
};

}  // namespace weir
