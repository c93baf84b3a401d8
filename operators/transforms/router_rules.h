// RouterRules: what a Router asks which routes the events of a batch take. Two kinds: rules of a
// YAML file (rule_program.h) and predicates in C++ (rule_set.h).
//
// A route is a label, which Event::route is set to and by which a file sink partitions, and the
// port of the router's stage by which the event leaves: 0, or one that the job declared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch.h"
#include "core/event.h"
#include "core/json.h"
#include "core/slab.h"
#include "core/status.h"

namespace weir {

// What the rules of a job that has none say.
inline constexpr std::string_view kDefaultRoute = "warehouse";

// The members of one payload after the other that some rule asks for, found in one walk over it,
// and only if asked for. One thread.
class PayloadFields {
 public:
  // The dotted paths to find, by index; they outlive their use.
  void SetPaths(const JsonPaths& paths) {
    paths_ = &paths;
    found_.resize(paths.size());
  }
  // REQUIRES: padding behind the payload, as a view into a slab has it.
  void Reset(std::string_view payload) {
    payload_ = payload;
    parsed_ = false;
  }
  // False if the payload is not JSON; then error() says why.
  bool Read() {
    if (!parsed_) Parse();
    return status_.ok();
  }
  // REQUIRES: Read().
  const std::optional<JsonValue>& operator[](size_t path) const { return found_[path]; }
  const Status& error() const { return status_; }

 private:
  void Parse();

  JsonParser parser_;
  const JsonPaths* paths_ = nullptr;
  std::vector<std::optional<JsonValue>> found_;
  std::string_view payload_;
  bool parsed_ = false;
  Status status_;
};

struct Route {
  std::string label;
  int port = 0;
  bool operator==(const Route&) const = default;
};

// Where the rows of a batch go. Used again for the next batch, so that nothing is allocated.
struct RouteMatches {
  std::vector<uint16_t> routes;  // of all rows, one row after the other, each route once
  std::vector<uint32_t> ends;    // by row: where its routes end
  struct Failure {
    size_t row;
    Status why;
  };
  std::vector<Failure> failures;  // rows that a rule could not judge, in order; they have no routes

  void Clear() {
    routes.clear();
    ends.clear();
    failures.clear();
  }
};

// Immutable; any thread may call it.
class RouterRules {
 public:
  // `routes` are distinct, at most 65,536.
  RouterRules(bool match_all, std::vector<Route> routes);
  virtual ~RouterRules() = default;

  // Fills `matches` for the batch. `payload` is the caller's, the same at each call of one thread.
  virtual void Match(const Batch<Event>& batch, PayloadFields& payload,
                     RouteMatches& matches) const = 0;
  virtual size_t rules() const = 0;

  bool match_all() const { return match_all_; }
  const std::vector<Route>& routes() const { return routes_; }
  // A view into slab(), which batches keep.
  std::string_view label(uint16_t route) const { return labels_[route]; }
  int port(uint16_t route) const { return routes_[route].port; }
  bool has_ports() const { return has_ports_; }  // some route has another port than 0
  const SlabPtr& slab() const { return slab_; }

 protected:
  // Adds a rule's routes behind `begin`, each once.
  static void AddRoutes(std::span<const uint16_t> of_rule, size_t begin,
                        std::vector<uint16_t>& routes);

 private:
  const bool match_all_;
  const std::vector<Route> routes_;
  bool has_ports_ = false;
  SlabPtr slab_;
  std::vector<std::string_view> labels_;
};

// "match=first rules=2 labels=alerts,warehouse", for plans and fingerprints.
std::string ToText(const RouterRules& rules);

}  // namespace weir
