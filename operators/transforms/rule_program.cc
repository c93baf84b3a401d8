#include "operators/transforms/rule_program.h"

#include <algorithm>

#include "core/limits.h"

namespace weir {
namespace {

std::string_view TextOf(const Event& event, RuleField field) {
  switch (field) {
    case RuleField::kId:
      return event.id;
    case RuleField::kTenant:
      return event.tenant;
    default:
      return event.type;
  }
}

// The condition of a rule that asks the field for one of several texts; null if there is none.
const FieldTest* TextsAskedFor(const RouterRule& rule, RuleField field) {
  for (const RuleCondition& part : rule.when.parts) {
    if (part.kind == RuleCondition::Kind::kTest && part.test.field == field &&
        part.test.has_values) {
      return &part.test;
    }
  }
  return nullptr;
}

}  // namespace

RuleProgram::RuleProgram(bool match_all, std::vector<Route> routes, std::vector<RouterRule> rules,
                         std::vector<std::string> paths, std::vector<uint16_t> fallback,
                         std::vector<std::string> ports)
    : RouterRules(match_all, std::move(routes)),
      rules_(std::move(rules)),
      paths_(std::move(paths)),
      ports_(std::move(ports)),
      fallback_(std::move(fallback)) {
  BuildIndex();
}

void RuleProgram::BuildIndex() {
  RuleField best = RuleField::kType;
  ptrdiff_t most = 0;
  for (const RuleField field : {RuleField::kType, RuleField::kTenant, RuleField::kId}) {
    const ptrdiff_t asking = std::count_if(
        rules_.begin(), rules_.end(),
        [field](const RouterRule& rule) { return TextsAskedFor(rule, field) != nullptr; });
    if (asking > most) {
      most = asking;
      best = field;
    }
  }
  if (most < static_cast<ptrdiff_t>(limits::kRulesIndexMin)) return;
  index_ = std::make_unique<Index>();
  index_->field = best;
  for (uint32_t i = 0; i < rules_.size(); ++i) {
    const FieldTest* test = TextsAskedFor(rules_[i], best);
    if (test == nullptr) {
      index_->others.push_back(i);
      continue;
    }
    // The rules own the texts and never change.
    for (const std::string& text : test->texts.texts()) index_->by_text[text].push_back(i);
  }
}

void RuleProgram::Match(const Batch<Event>& batch, PayloadFields& payload,
                        RouteMatches& matches) const {
  payload.SetPaths(paths_);
  matches.Clear();
  const auto events = batch.values();
  for (size_t i = 0; i < events.size(); ++i) {
    payload.Reset(events[i].payload);
    if (Status why = MatchOne(events[i], payload, matches.routes); !why.ok()) {
      matches.failures.push_back({i, std::move(why)});
    }
    matches.ends.push_back(static_cast<uint32_t>(matches.routes.size()));
  }
}

inline bool RuleProgram::Try(uint32_t rule, const Event& event, PayloadFields& payload,
                             size_t begin, std::vector<uint16_t>& routes, bool& broken) const {
  switch (rules_[rule].when.Judge(event, payload)) {
    case Judgement::kFails:
      return false;
    case Judgement::kBroken:
      broken = true;
      return true;
    case Judgement::kHolds:
      break;
  }
  AddRoutes(rules_[rule].routes, begin, routes);
  return !match_all();
}

Status RuleProgram::MatchOne(const Event& event, PayloadFields& payload,
                             std::vector<uint16_t>& routes) const {
  const size_t begin = routes.size();
  bool broken = false;
  bool done = false;
  if (index_ == nullptr) {
    for (uint32_t i = 0; i < rules_.size() && !done; ++i) {
      done = Try(i, event, payload, begin, routes, broken);
    }
  } else {
    const auto found = index_->by_text.find(TextOf(event, index_->field));
    const std::span<const uint32_t> asking =
        found == index_->by_text.end() ? std::span<const uint32_t>() : found->second;
    const std::span<const uint32_t> others = index_->others;
    for (size_t a = 0, o = 0; (a < asking.size() || o < others.size()) && !done;) {
      const bool first = o == others.size() || (a < asking.size() && asking[a] < others[o]);
      done = Try(first ? asking[a++] : others[o++], event, payload, begin, routes, broken);
    }
  }
  if (broken) {
    routes.resize(begin);
    return Annotate(payload.error(), "a rule looks into the payload");
  }
  if (routes.size() == begin) routes.insert(routes.end(), fallback_.begin(), fallback_.end());
  return absl::OkStatus();
}

RouteExplanation RuleProgram::Explain(const Event& event) const {
  RouteExplanation explanation;
  PayloadFields payload;
  payload.SetPaths(paths_);
  payload.Reset(event.payload);
  bool taken = false;
  for (const RouterRule& rule : rules_) {
    RouteExplanation::Rule& told = explanation.rules.emplace_back();
    told.name = rule.name;
    told.line = rule.line;
    told.why_not = rule.when.WhyNot(event, payload);
    told.matched = told.why_not.empty();
    told.counts = told.matched && !(taken && !match_all());
    taken |= told.matched;
    for (const uint16_t route : rule.routes) told.to.push_back(this->routes()[route]);
  }
  // The verdict is the one that the router itself comes to.
  std::vector<uint16_t> routes;
  explanation.failure = MatchOne(event, payload, routes);
  for (const uint16_t route : routes) explanation.routes.push_back(this->routes()[route]);
  if (!explanation.failure.ok()) {
    for (RouteExplanation::Rule& rule : explanation.rules) rule.counts = false;
  }
  explanation.by_default = !taken && explanation.failure.ok();
  return explanation;
}

std::shared_ptr<const RouterRules> RouteEverythingTo(std::string_view label) {
  return std::make_shared<RuleProgram>(false, std::vector<Route>{{std::string(label), 0}},
                                       std::vector<RouterRule>(), std::vector<std::string>(),
                                       std::vector<uint16_t>{0}, std::vector<std::string>());
}

}  // namespace weir
