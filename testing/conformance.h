// The conformance kit: does an operator, a source or a sink keep the contract of its header
// (operators/operator.h, source.h, sink.h)?
//
//   StageCase sum = CaseOf(job, "sum");           // of a graph that JobBuilder has built
//   sum.input.Rows<Order>({{{"ada", 10}, 1}, {{"bob", 5}, 2}}).Watermark(2).Advance(Seconds(1));
//   sum.order = RowOrder::kSamePerKey;
//   sum.key = "customer";
//   ConformanceReport report = CheckConformance(sum);
//   EXPECT_TRUE(report.ok()) << report.ToText();
//
// The stage runs undisturbed, and then disturbed in every way that the engine may: batches cut and
// merged otherwise, a full outbox, Blocked everywhere, barriers, freeze and restore into new
// instances at every chance and at other parallelisms, the end of the input at every point. Its
// output must be that of the undisturbed run; what differs is told row by row. Beside that every
// call is checked against the rules of conformance_rules.h.
//
// An operator is called on the thread that calls CheckConformance(); its I/O pool, clock, timers,
// notifications and keyed state are the kit's. Time stands still but where the input advances it,
// or where an operator that is kBlocked has set a time to be woken at and nobody wakes it before.
// Input should be small (tens of rows): every chance is taken.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/built_job.h"
#include "testing/conformance_rules.h"
#include "testing/row_diff.h"

namespace weir::testing {

// What a stage is given. Rows whose time is at or below a watermark before them are late.
class InputScript {
 public:
  struct Element {
    enum Kind { kRows, kWatermark, kAdvance, kReload } kind;
    int64_t time = 0;  // of a watermark, or how far the clocks move
    int port = 0;
    std::shared_ptr<const RowCodec> codec;
    std::string rows;  // a batch, as the codec encodes it; or the content of the resource
  };

  // One batch.
  template <class T>
  InputScript& Rows(const std::vector<std::pair<T, Timestamp>>& rows, int port = 0) {
    Batch<T> batch;
    for (const auto& [row, time] : rows) batch.Add(row, time);
    Element element{Element::kRows, 0, port, MakeRowCodec<T>(), {}};
    element.codec->EncodeBatch(batch, element.rows);
    elements_.push_back(std::move(element));
    return *this;
  }
  InputScript& Watermark(Timestamp time) {
    elements_.push_back({Element::kWatermark, time});
    return *this;
  }
  InputScript& Advance(Duration duration) {
    elements_.push_back({Element::kAdvance, duration});
    return *this;
  }

  // Another version of the stage's reloadable resource (Reloadable), for the rows that follow.
  InputScript& Reload(std::string content) {
    elements_.push_back({Element::kReload, 0, 0, nullptr, std::move(content)});
    return *this;
  }

  const std::vector<Element>& elements() const { return elements_; }

 private:
  std::vector<Element> elements_;
};

struct StageCase {
  std::string name;
  StageRole role = StageRole::kOperator;
  StageCode code;  // source, op or sink, as the role says
  InputScript input;
  // By input port; where there is one, rows are dealt out by the hashes, else anyhow.
  std::map<int, EdgeCode> input_edges;
  std::map<int, std::shared_ptr<const RowCodec>> output_codecs;  // by output port
  bool keyed_state = false;
  // Keyed state on RocksDB, as in a job, instead of in memory: slower, and what a ttl needs.
  bool keyed_in_files = false;

  Timestamp start = 1'767'225'600'000'000;  // of the clocks: 2026-01-01T00:00:00Z

  // How outputs are compared, for a key by its name in the row. Where the parallelism changes and
  // rows are dealt out anyhow, the order does not count.
  RowOrder order = RowOrder::kAny;
  std::string key;
  // Rows may leave behind the watermark though no late row came in.
  bool late_output = false;
  // When a row leaves, by the clock, is part of the output, too.
  bool compare_clock = false;
  // State can be dealt out anew at another parallelism.
  bool rescales = true;
  // By the machine's clock: what the fastest of all freezes may take.
  Duration freeze_max = Milliseconds(20);
  // By the machine's clock: how long the operator's own threads and clients may take to wake it. So
  // long the kit's clock stands still before it moves on to the time that SetWakeUp() names.
  Duration outside_max = Milliseconds(50);

  // Of a sink: called before each run, to make room for it; and what a reader sees.
  std::function<void()> reset;
  std::function<StatusOr<std::vector<std::string>>()> read;
  bool exactly_once = true;
};

// A stage of a graph, with its code and its edges. REQUIRES: the graph has such a stage.
StageCase CaseOf(const BuiltJob& job, std::string_view stage);

struct Violation {
  Rule rule;
  std::string run;   // the disturbance under which it was seen
  std::string what;  // a line or more, for people
};

struct ConformanceReport {
  std::string stage;
  std::vector<Violation> violations;
  // What was done: a kit that does nothing finds nothing.
  int runs = 0;
  int calls = 0;
  int restores = 0;
  size_t rows = 0;                              // of the undisturbed run's output
  std::optional<int64_t> fastest_freeze_nanos;  // by the machine's clock

  bool ok() const { return violations.empty(); }
  bool Broke(Rule rule) const;
  // "stage 'sum' breaks own-state (in turns with another instance): ...", of each rule the first
  // time; or that it conforms.
  std::string ToText() const;
};

ConformanceReport CheckConformance(const StageCase& stage);

}  // namespace weir::testing
