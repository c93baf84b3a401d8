// What the rules of a router cost: nanoseconds of CPU per event, for batches of 1,024 events of
// some 200 bytes of JSON, by the number of rules and by what they ask. One JSON object per line;
// the limit, where there is one, is the same decision written by hand.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/measure.h"
#include "operators/transforms/rule_program.h"
#include "operators/transforms/rule_set.h"

namespace weir {
namespace {

constexpr size_t kRows = 1024;
constexpr size_t kBatches = 64;
constexpr int kRounds = 9;
constexpr int kTypes = 100;

std::unique_ptr<Batch<Event>> MakeBatch(size_t number) {
  auto batch = std::make_unique<Batch<Event>>();
  SlabArena arena;
  for (size_t i = 0; i < kRows; ++i) {
    const size_t n = number * kRows + i;
    const std::string type = "type-" + std::to_string(n * 2654435761u % kTypes);
    const std::string id = "event-" + std::to_string(n);
    const std::string line = R"({"id":")" + id + R"(","type":")" + type + R"(","n":)" +
                             std::to_string(n % 1000) + R"(,"text":")" + std::string(100, 'x') +
                             R"(","more":{"a":1,"b":[1,2,3],"c":"d"}})";
    Event event;
    event.id = arena.Copy(id);
    event.type = arena.Copy(type);
    event.payload = arena.Copy(line);
    event.priority = static_cast<int64_t>(n % 10);
    batch->Add(event, 0);
  }
  arena.Release(batch->slabs());
  return batch;
}

// The median of some rounds over all batches, per event.
double Measure(const std::vector<std::unique_ptr<Batch<Event>>>& batches,
               const std::function<size_t(const Batch<Event>&)>& match) {
  std::vector<double> rounds;
  size_t seen = 0;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t started = bare::ThreadCpuNs();
    for (const auto& batch : batches) seen += match(*batch);
    rounds.push_back(static_cast<double>(bare::ThreadCpuNs() - started) / (kRows * kBatches));
  }
  WEIR_CHECK(seen == kRounds * kRows * kBatches);
  return bench::Median(rounds);
}

double MeasureRules(const std::vector<std::unique_ptr<Batch<Event>>>& batches,
                    const RouterRules& rules) {
  PayloadFields payload;
  RouteMatches matches;
  return Measure(batches, [&](const Batch<Event>& batch) {
    rules.Match(batch, payload, matches);
    return matches.routes.size();
  });
}

void Print(const std::string& name, double value, double limit = 0) {
  std::printf("{\"name\":\"router_%s\",\"value\":%.1f,\"unit\":\"ns/event\"", name.c_str(), value);
  if (limit > 0) std::printf(",\"limit\":%.1f,\"ratio\":%.2f", limit, value / limit);
  std::printf("}\n");
  std::fflush(stdout);
}

// Rules with the condition that `when` says of each number.
std::shared_ptr<const RouterRules> Rules(int count, const std::function<std::string(int)>& when) {
  std::string yaml = "rules:\n";
  for (int i = 0; i < count; ++i) {
    yaml += "  - {when: {" + when(i) + "}, to: label-" + std::to_string(i) + "}\n";
  }
  auto rules = ParseRouterRules(yaml, "bench");
  if (!rules.ok()) std::fprintf(stderr, "%s\n", std::string(rules.status().message()).c_str());
  WEIR_CHECK(rules.ok());
  return *rules;
}

void Run() {
  std::vector<std::unique_ptr<Batch<Event>>> batches;
  for (size_t i = 0; i < kBatches; ++i) batches.push_back(MakeBatch(i));

  // The yardstick: the type looked up in a table, and nothing else.
  std::unordered_map<std::string, uint16_t, TextHash, std::equal_to<>> table;
  for (int i = 0; i < kTypes; ++i) table["type-" + std::to_string(i)] = static_cast<uint16_t>(i);
  std::vector<uint16_t> labels;
  const double limit = Measure(batches, [&](const Batch<Event>& batch) {
    labels.clear();
    for (const Event& event : batch.values()) {
      labels.push_back(table.find(event.type)->second);
    }
    return labels.size();
  });

  auto number = [](int i) { return std::to_string(i); };
  for (const int count : {1, 10, 100}) {
    const std::string suffix = "_" + std::to_string(count);
    Print("type" + suffix,
          MeasureRules(batches, *Rules(count, [&](int i) { return "type: type-" + number(i); })),
          limit);
    Print("priority" + suffix, MeasureRules(batches, *Rules(count, [&](int i) {
                                              return "priority: {min: " + number(i + 20) + "}";
                                            })));
    Print("prefix" + suffix, MeasureRules(batches, *Rules(count, [&](int i) {
                                            return "id: {prefix: other-" + number(i) + "}";
                                          })));
    Print("percent" + suffix, MeasureRules(batches, *Rules(count, [&](int i) {
                                             return "id: {percent: 0, salt: s" + number(i) + "}";
                                           })));
    Print("payload" + suffix, MeasureRules(batches, *Rules(count, [&](int i) {
                                             return "payload.n: {min: " + number(i + 2000) + "}";
                                           })));
  }
  for (const int count : {1, 10}) {
    Print("matches_" + number(count), MeasureRules(batches, *Rules(count, [&](int i) {
                                                     return "id: {matches: '^other-" + number(i) +
                                                            "[0-9]+$'}";
                                                   })));
  }
  std::string many = "type: [";
  for (int i = 0; i < 1000; ++i) many += "other-" + number(i) + ", ";
  Print("set_of_1000", MeasureRules(batches, *Rules(1, [&](int) { return many + "x]"; })));

  const auto predicates = RuleSet()
                              .When("a", [](const Event& e) { return e.type == "type-1"; })
                              .When("b", [](const Event& e) { return e.priority >= 9; })
                              .When("c", [](const Event& e) { return e.id.starts_with("other-"); })
                              .Build({});
  WEIR_CHECK(predicates.ok());
  Print("predicates_3", MeasureRules(batches, **predicates));
}

}  // namespace
}  // namespace weir

int main() { weir::Run(); }
