#include "operators/transforms/router_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"

namespace weir {

void PayloadFields::Parse() {
  parsed_ = true;
  StatusOr<JsonValue> root = parser_.Parse(payload_);
  status_ = root.status();
  if (root.ok()) root->FindAll(*paths_, found_);
}

RouterRules::RouterRules(bool match_all, std::vector<Route> routes)
    : match_all_(match_all), routes_(std::move(routes)) {
  WEIR_CHECK(routes_.size() <= size_t{1} << 16);
  std::string text;
  for (const Route& route : routes_) {
    text += route.label;
    has_ports_ |= route.port != 0;
  }
  slab_ = CopyToSlab(text);
  size_t begin = 0;
  for (const Route& route : routes_) {
    labels_.push_back(slab_->view().substr(begin, route.label.size()));
    begin += route.label.size();
  }
}

void RouterRules::AddRoutes(std::span<const uint16_t> of_rule, size_t begin,
                            std::vector<uint16_t>& routes) {
  for (const uint16_t route : of_rule) {
    if (std::find(routes.begin() + begin, routes.end(), route) == routes.end()) {
      routes.push_back(route);
    }
  }
}

std::string ToText(const RouterRules& rules) {
  std::string labels;
  for (const Route& route : rules.routes()) {
    labels += labels.empty() ? "" : ",";
    if (route.port != 0) labels += fmt::format("{}:", route.port);
    labels += route.label;
  }
  return fmt::format("match={} rules={} labels={}", rules.match_all() ? "all" : "first",
                     rules.rules(), labels);
}

}  // namespace weir
