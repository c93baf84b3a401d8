#include "testing/conformance.h"

#include <fmt/format.h>

#include <algorithm>

#include "testing/conformance_run.h"
#include "testing/conformance_source.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

using Elements = std::vector<InputScript::Element>;

// Of the rows that are tried alone.
constexpr size_t kAloneMax = 100;

class OperatorCheck {
 public:
  OperatorCheck(const StageCase& stage, ConformanceReport& report)
      : stage_(stage), report_(report), input_(stage.input.elements()) {}

  void Check() {
    const std::optional<RunOutput> undisturbed = Run(input_, {.name = "undisturbed"});
    if (!undisturbed) return;
    report_.rows = undisturbed->rows.size();
    for (const Disturbance& disturbance : Disturbances()) {
      RunAgainst(*undisturbed, input_, disturbance);
    }
    CheckEnds();
    CheckRejects(*undisturbed);
  }

 private:
  std::vector<Disturbance> Disturbances() const {
    using Cut = Disturbance::Cut;
    std::vector<Disturbance> all = {
        {.name = "once more", .rule = Rule::kSameEachTime},
        {.name = "batches of one row", .rule = Rule::kBatchCuts, .cut = Cut::kSingle},
        {.name = "batches of two rows", .rule = Rule::kBatchCuts, .cut = Cut::kPairs},
        {.name = "batches merged", .rule = Rule::kBatchCuts, .cut = Cut::kMerged},
        {.name = "empty batches", .rule = Rule::kEmptyBatches, .empty_batches = true},
        {.name = "time in seven steps", .rule = Rule::kFineTime, .time_steps = 7},
        {.name = "output taken every other call", .rule = Rule::kOutputHeld, .hold_output = true},
        {.name = "output taken every other call, batches of one row",
         .rule = Rule::kOutputHeld,
         .cut = Cut::kSingle,
         .hold_output = true},
        {.name = "all busy", .rule = Rule::kBlockedEverywhere, .busy = true},
        {.name = "all busy, batches of one row",
         .rule = Rule::kBlockedEverywhere,
         .cut = Cut::kSingle,
         .hold_output = true,
         .busy = true},
        {.name = "two checkpoints at every chance", .rule = Rule::kBarriers, .checkpoints = 2},
        {.name = "checkpoints that are completed twice",
         .rule = Rule::kCheckpointComplete,
         .checkpoints = 1,
         .repeat_complete = true},
    };
    // Whoever prints cannot take back, and prints again.
    if (stage_.role == StageRole::kSink) {
      if (stage_.exactly_once) AddRestores(all);
    } else {
      all.push_back(
          {.name = "in turns with another instance", .rule = Rule::kOwnState, .in_turns = true});
      AddRestores(all);
    }
    return all;
  }

  void AddRestores(std::vector<Disturbance>& all) const {
    using Cut = Disturbance::Cut;
    all.push_back({.name = "restored at every chance", .rule = Rule::kRestore, .restore_to = {1}});
    all.push_back({.name = "restored at every chance, all busy",
                   .rule = Rule::kRestore,
                   .cut = Cut::kSingle,
                   .hold_output = true,
                   .busy = true,
                   .restore_to = {1}});
    all.push_back({.name = "written after the instance has gone on",
                   .rule = Rule::kFrozenIsIndependent,
                   .restore_to = {1},
                   .write_late = true});
    all.push_back({.name = "restored, and completed twice",
                   .rule = Rule::kCheckpointComplete,
                   .restore_to = {1},
                   .repeat_complete = true});
    if (!stage_.rescales) return;
    const bool keyed =
        std::any_of(stage_.input_edges.begin(), stage_.input_edges.end(),
                    [](const auto& edge) { return edge.second.hash_keys != nullptr; });
    all.push_back({.name = "at parallelism 3",
                   .rule = Rule::kRescale,
                   .parallelism = 3,
                   .keep_order = keyed});
    all.push_back({.name = "restored at parallelism 2, 3, 1 in turn",
                   .rule = Rule::kRescale,
                   .restore_to = {2, 3, 1},
                   .keep_order = keyed});
    all.push_back({.name = "restored at parallelism 5, 1 in turn, written late",
                   .rule = Rule::kRescale,
                   .restore_to = {5, 1},
                   .write_late = true,
                   .keep_order = keyed});
  }

  // nullopt: it has failed, which is reported.
  std::optional<RunOutput> Run(const Elements& input, const Disturbance& disturbance) {
    std::vector<RunOutput> outputs = RunSets(input, disturbance);
    if (outputs.empty()) return std::nullopt;
    return std::move(outputs[0]);
  }

  std::vector<RunOutput> RunSets(const Elements& input, const Disturbance& disturbance) {
    if (stage_.reset) stage_.reset();
    ++report_.runs;
    Findings findings(report_, disturbance.name);
    std::vector<RunOutput> outputs;
    {
      StageRun run(stage_, input, disturbance, dir_ / fmt::format("r{}", report_.runs), findings);
      outputs = run.Go();
    }
    if (findings.failed()) return {};
    if (stage_.read) {
      StatusOr<std::vector<std::string>> read = stage_.read();
      if (!read.ok()) {
        findings.Failed("cannot read what was written: " + read.status().ToString());
        return {};
      }
      outputs[0].rows = *std::move(read);
    }
    return outputs;
  }

  void RunAgainst(const RunOutput& expected, const Elements& input,
                  const Disturbance& disturbance) {
    for (const RunOutput& output : RunSets(input, disturbance)) {
      Compare(expected, output, disturbance);
    }
  }

  void Compare(const RunOutput& expected, const RunOutput& output, const Disturbance& disturbance) {
    RowComparison comparison;
    comparison.order = disturbance.keep_order ? stage_.order : RowOrder::kAny;
    comparison.key = "row." + stage_.key;
    // Keys meet in one instance, but instances have no order among each other.
    const bool one = disturbance.parallelism == 1 &&
                     std::all_of(disturbance.restore_to.begin(), disturbance.restore_to.end(),
                                 [](int parallelism) { return parallelism == 1; });
    if (comparison.order == RowOrder::kSame && !one) comparison.order = RowOrder::kAny;
    const std::string difference = Difference(expected, output, comparison);
    if (!difference.empty()) {
      report_.violations.push_back({disturbance.rule, disturbance.name, difference});
    }
  }

  // The input ends behind every element, with and without a restore just before.
  void CheckEnds() {
    for (size_t elements = 0; elements < input_.size(); ++elements) {
      const std::string name = fmt::format("ends behind {} of {}", elements, input_.size());
      const auto expected = Run(input_, {.name = name, .elements = elements});
      if (!expected) return;
      Disturbance disturbance{.name = name + ", all busy, batches of one row",
                              .rule = Rule::kEndAnywhere,
                              .cut = Disturbance::Cut::kSingle,
                              .busy = true,
                              .elements = elements};
      if (stage_.role == StageRole::kOperator || stage_.exactly_once) {
        disturbance.name += ", restored";
        disturbance.restore_to = {1};
      }
      const size_t before = report_.violations.size();
      RunAgainst(*expected, input_, disturbance);
      // One such end says it all.
      if (report_.violations.size() > before) return;
    }
  }

  // Rows that are rejected when they come alone, and what they leave behind when they do not.
  void CheckRejects(const RunOutput& undisturbed) {
    Elements without = input_;
    RunOutput expected = undisturbed;
    bool any = false;
    size_t alone = 0;
    Elements alone_input(1);  // the row, behind the last reload before it
    for (InputScript::Element& element : without) {
      if (element.kind == InputScript::Element::kReload) alone_input = {element, element};
      if (element.kind != InputScript::Element::kRows) continue;
      BatchPtr rest = Decode(element);
      BatchPtr kept = rest->NewEmpty();
      while (!rest->empty()) {
        BatchPtr row = rest->SplitFront(1);
        if (alone++ >= kAloneMax) return;
        InputScript::Element& one = alone_input.back() = element;
        one.rows.clear();
        element.codec->EncodeBatch(*row, one.rows);
        const auto output = Run(alone_input, {.name = fmt::format("row {} alone", alone)});
        if (!output) return;
        if (output->rejected.empty()) {
          kept->Append(*row);
          continue;
        }
        any = true;
        if (!output->rows.empty() && stage_.role == StageRole::kOperator) {
          report_.violations.push_back(
              {Rule::kRejectOrEmit, fmt::format("row {} alone", alone),
               fmt::format("rejected: {}\n  emitted:  {}", output->rejected[0], output->rows[0])});
        }
        for (const std::string& rejected : output->rejected) {
          auto& all = expected.rejected;
          if (auto it = std::find(all.begin(), all.end(), rejected); it != all.end()) all.erase(it);
        }
      }
      element.rows.clear();
      element.codec->EncodeBatch(*kept, element.rows);
    }
    if (any) {
      RunAgainst(
          expected, without,
          {.name = "without the rows that are rejected", .rule = Rule::kRejectLeavesNothing});
    }
  }

  static BatchPtr Decode(const InputScript::Element& element) {
    StatusOr<BatchPtr> rows = element.codec->DecodeBatch(CopyToSlab(element.rows));
    WEIR_CHECK(rows.ok());
    return *std::move(rows);
  }

  const StageCase& stage_;
  ConformanceReport& report_;
  const Elements& input_;
  TempDir dir_;
};

}  // namespace

StageCase CaseOf(const BuiltJob& job, std::string_view stage) {
  const int index = job.graph.FindStage(stage);
  WEIR_CHECK(index >= 0);
  const StageSpec& spec = job.graph.stages[index];
  StageCase made;
  made.name = spec.name;
  made.role = spec.role;
  made.code = job.stages[index];
  made.keyed_state = spec.keyed_state;
  made.exactly_once = spec.exactly_once;
  for (size_t e = 0; e < job.graph.edges.size(); ++e) {
    const EdgeSpec& edge = job.graph.edges[e];
    if (edge.to == index && edge.port >= 0) made.input_edges[edge.input_port] = job.edges[e];
    if (edge.from == index && edge.port >= 0) made.output_codecs[edge.port] = job.edges[e].codec;
  }
  return made;
}

bool ConformanceReport::Broke(Rule rule) const {
  return std::any_of(violations.begin(), violations.end(),
                     [rule](const Violation& violation) { return violation.rule == rule; });
}

std::string ConformanceReport::ToText() const {
  if (ok()) {
    return fmt::format("stage '{}' conforms: {} runs, {} calls, {} restores, {} rows\n", stage,
                       runs, calls, restores, rows);
  }
  std::string text;
  for (const RuleInfo& rule : ConformanceRules()) {
    const Violation* first = nullptr;
    int more = 0;
    for (const Violation& violation : violations) {
      if (violation.rule != rule.rule) continue;
      if (first == nullptr) {
        first = &violation;
      } else {
        ++more;
      }
    }
    if (first == nullptr) continue;
    text +=
        fmt::format("stage '{}' breaks {} ({}): {}\n", stage, rule.name, first->run, first->what);
    if (more > 0) text += fmt::format("  and {} times more, in other runs\n", more);
  }
  return text;
}

ConformanceReport CheckConformance(const StageCase& stage) {
  ConformanceReport report;
  report.stage = stage.name;
  if (stage.role == StageRole::kSource) {
    CheckSource(stage, report);
  } else {
    OperatorCheck(stage, report).Check();
  }
  const auto& freeze_nanos = report.fastest_freeze_nanos;
  if (freeze_nanos && *freeze_nanos > stage.freeze_max * 1000) {
    report.violations.push_back(
        {Rule::kFreezeAtOnce, "any",
         fmt::format("the fastest of all freezes took {}us, and {}us are allowed",
                     *freeze_nanos / 1000, stage.freeze_max)});
  }
  return report;
}

}  // namespace weir::testing
