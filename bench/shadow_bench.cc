// What a shadow pays for each record: nanoseconds of CPU to bring it into its canonical form, with
// a key and without rules, and to compare two that differ in a field. One JSON object per line.
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/slab.h"
#include "shadow/difference.h"
#include "shadow/record.h"
#include "shadow/rules.h"

namespace weir::shadow {
namespace {

constexpr size_t kRecords = 20'000;
constexpr int kRounds = 9;

// Events of some 150 bytes, or of a KiB with lists and objects in them.
std::vector<std::string> Events(bool large, int price) {
  std::vector<std::string> events;
  for (size_t i = 0; i < kRecords; ++i) {
    std::string event = fmt::format(
        R"({{"id":"event-{}","type":"departure","tenant":"ATL","time":"2026-11-22T21:46:40Z",)"
        R"("delay":{},"fare":{}.25,"seat":{{"row":{},"side":"left"}})",
        i, i % 100, price, i % 40);
    for (int j = 0; large && j < 12; ++j) {
      event += fmt::format(R"(,"leg{}":{{"from":"ATL","to":"ORD","stops":[{},{},3],"km":{}.5}})", j,
                           j, i % 7, i % 900);
    }
    events.push_back(event + "}");
  }
  return events;
}

double Measure(const std::function<size_t(size_t)>& one) {
  std::vector<double> rounds;
  size_t sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t started = bare::ThreadCpuNs();
    for (size_t i = 0; i < kRecords; ++i) sum += one(i);
    rounds.push_back(static_cast<double>(bare::ThreadCpuNs() - started) / kRecords);
  }
  WEIR_CHECK(sum > 0);
  return bench::Median(rounds);
}

void MeasureEvents(std::string_view name, bool large) {
  auto rules = ParseShadowRules("all: {key: id, ignore: [time], fields: {fare: {absolute: 0.001}}}",
                                "rules", 0);
  WEIR_CHECK(rules.ok());
  const ShadowRules none;
  const std::vector<std::string> events = Events(large, 99);
  std::vector<std::string> padded;
  for (const std::string& event : events) {
    padded.push_back(event + std::string(weir::limits::kSlabPaddingBytes, '\0'));
  }
  bench::Report report;
  report.Add(fmt::format("{}_bytes", name), static_cast<double>(events[0].size()));
  for (const bool with_rules : {false, true}) {
    RecordReader reader((with_rules ? **rules : none).For("out"));
    report.Add(fmt::format("{}_canonical{}_ns", name, with_rules ? "_with_rules" : ""),
               Measure([&](size_t i) {
                 return reader.Read(std::string_view(padded[i]).substr(0, events[i].size())).hash &
                        1;
               }));
  }
  const std::vector<std::string> changed = Events(large, 98);
  RecordDiffer differ((*rules)->For("out"));
  report.Add(fmt::format("{}_difference_ns", name),
             Measure([&](size_t i) { return differ.Compare(events[i], changed[i]).size(); }));
  report.Print();
}

}  // namespace
}  // namespace weir::shadow

int main() {
  weir::shadow::MeasureEvents("small", false);
  weir::shadow::MeasureEvents("large", true);
}
