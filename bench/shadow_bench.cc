// What a shadow pays for each record: nanoseconds of CPU to bring it into its canonical form, with
// a key and without rules; to compare two that differ in a field; and to let those of the three
// versions meet in the comparator, a batch of each in turn, in memory or as keyed state. One JSON
// object per line.
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/checkpoints.h"
#include "bench/measure.h"
#include "core/check.h"
#include "core/environment.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/slab.h"
#include "operators/operator.h"
#include "shadow/comparator.h"
#include "shadow/difference.h"
#include "shadow/record.h"
#include "shadow/rules.h"
#include "state/keyed_store.h"

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

class Nowhere final : public Output {
 public:
  void Emit(int, BatchPtr) override {}
  void Reject(std::string_view error, std::string_view, Timestamp) override { bare::Fail(error); }
};

// The small events with a key, canonical, of all versions alike.
double MeasureComparator(size_t buffer_bytes) {
  const auto rules = bench::Require(ParseShadowRules("all: {key: id}", "rules", 0));
  std::vector<std::string> meetings, keys, texts;
  RecordReader reader(rules->For("out"));
  for (const std::string& event : Events(false, 99)) {
    const Record& record = reader.ReadUnpadded(event);
    meetings.emplace_back(MeetingBytes(Hash128(record.key)));
    keys.emplace_back(record.key);
    texts.emplace_back(record.text);
  }

  const auto store = bench::Require(MakeHeapKeyedStore({"comparator", {}}, {}));
  OperatorContext context;
  context.env = &RealEnvironment();
  context.keyed = store.get();
  const auto comparator = MakeComparator({rules, kPatienceDefault, buffer_bytes});
  bench::Require(comparator->Open(context));
  Nowhere out;
  const auto finish = [&](StatusOr<Progress> progress) {
    while (bench::Require(progress) != Progress::kDone) progress = comparator->Resume(out);
  };
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    int64_t took = 0;
    for (size_t begin = 0; begin < kRecords; begin += bare::kBatchRows) {
      for (uint8_t version = 0; version < kVersions; ++version) {
        auto batch = std::make_unique<Batch<TappedRecord>>();
        for (size_t i = begin; i < std::min(kRecords, begin + bare::kBatchRows); ++i) {
          batch->Add({version, "out", meetings[i], keys[i], texts[i]}, Seconds(1));
        }
        const int64_t started = bare::ThreadCpuNs();
        finish(comparator->Process(0, std::move(batch), out));
        took += bare::ThreadCpuNs() - started;
      }
    }
    rounds.push_back(static_cast<double>(took) / (kRecords * kVersions));
  }
  return bench::Median(rounds);
}

void MeasureMeetings() {
  bench::Report report;
  report.Add("meeting_in_memory_ns", MeasureComparator(limits::kBufferBytesMax));
  report.Add("meeting_as_state_ns", MeasureComparator(0));
  report.Print();
}

}  // namespace
}  // namespace weir::shadow

int main() {
  weir::shadow::MeasureEvents("small", false);
  weir::shadow::MeasureEvents("large", true);
  weir::shadow::MeasureMeetings();
}
