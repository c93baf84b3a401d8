#include "runtime/checkpoint/checkpoint_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace weir {
namespace {

using Verdict = FitFinding::Verdict;

// What the subtasks' snapshots of one kind hold together.
struct Held {
  std::vector<const StateSnapshot*> snapshots;  // those that hold something
  std::set<std::string> formats;
  std::map<std::string, std::vector<Schema>> schemas;  // by state, each once

  explicit Held(const StageState& stage, StateSnapshot SubtaskState::*kind) {
    for (const SubtaskState& subtask : stage.subtasks) {
      const StateSnapshot& snapshot = subtask.*kind;
      if (snapshot.format.empty()) continue;
      snapshots.push_back(&snapshot);
      formats.insert(snapshot.format);
      for (const StateSchema& state : snapshot.schemas) Add(state);
    }
  }
  void Add(const StateSchema& state) {
    std::vector<Schema>& known = schemas[state.state];
    const bool is_known = std::any_of(known.begin(), known.end(), [&](const Schema& schema) {
      return schema.ToText() == state.schema.ToText();
    });
    if (!is_known) known.push_back(state.schema);
  }
};

// Of a sink: pieces that the checkpoint commits, and those that were written on behind it.
struct Pieces {
  size_t ended = 0;
  size_t open = 0;

  explicit Pieces(const StageState& stage) {
    for (const SubtaskState& subtask : stage.subtasks) {
      ended += subtask.operator_state.handles.size();
      open += subtask.operator_state.open_handles.size();
    }
  }
  bool any() const { return ended + open > 0; }
  std::string ToText() const {
    if (open == 0) return fmt::format("{} pieces", ended);
    return fmt::format("{} pieces and {} that were open", ended, open);
  }
};

// Of keys: their bytes are the same, whatever a struct is called.
std::string ShapeOf(const Schema& key) {
  Schema unnamed = key;
  const auto forget_names = [](const auto& self, Schema& schema) -> void {
    schema.name.clear();
    for (Schema::Field& field : schema.fields) self(self, field.type);
  };
  forget_names(forget_names, unnamed);
  return unnamed.ToText();
}

StatusOr<StateDescription> Describe(const StageCode& code) {
  if (code.source) return code.source()->DescribeState();
  if (code.op) return code.op()->DescribeState();
  return code.sink()->DescribeState();
}

class StageComparison {
 public:
  StageComparison(const StageSpec& spec, const StateDescription& now,
                  std::vector<FitFinding>& findings)
      : spec_(spec), now_(now), findings_(findings) {}

  void Compare(const StageState& written) {
    const Held keyed(written, &SubtaskState::keyed_state);
    const Held own(written, &SubtaskState::operator_state);
    const bool holds = !keyed.snapshots.empty() || !own.snapshots.empty();
    if (holds && written.key && spec_.key) CompareKeys(*written.key, *spec_.key);
    CompareKeyed(keyed);
    CompareOwn(own);
    if (const Pieces pieces(written); pieces.any()) {
      if (spec_.role == StageRole::kSink) {
        Add(Verdict::kFits, "output", "none", "", pieces.ToText());
      } else {
        Add(Verdict::kDropped, "output", "gone", "",
            fmt::format("is no sink any more, and what it had not yet committed of {} is lost",
                        pieces.ToText()));
      }
    }
  }

  // The checkpoint has nothing of the stage.
  void Start() {
    for (const KeyedStateSpec& state : now_.keyed) Starts(state.name);
    if (!now_.own.formats.empty()) Starts("");
  }

 private:
  void Add(Verdict verdict, std::string_view state, std::string_view change, std::string field,
           std::string text) {
    findings_.push_back({verdict, spec_.name, std::string(state), std::string(change),
                         std::move(field), std::move(text)});
  }
  void Starts(std::string_view state) {
    Add(Verdict::kStarts, state, "new", "", "is new, and starts empty");
  }
  void AddChanges(std::string_view state, const std::vector<FieldChange>& changes) {
    for (const FieldChange& change : changes) {
      const bool readable = change.kind != FieldChange::Kind::kIncompatible;
      Add(readable ? Verdict::kFits : Verdict::kRefused, state, ToString(change.kind), change.path,
          change.text);
    }
    if (changes.empty()) Add(Verdict::kFits, state, "none", "", "");
  }

  // Nothing may change: what is kept is found by the bytes of its key.
  void CompareKeys(const Schema& was, const Schema& is) {
    const std::string before = ShapeOf(was);
    const std::string now = ShapeOf(is);
    if (before == now) return;
    Add(Verdict::kRefused, "", "incompatible", "key",
        fmt::format(
            "was {}, is {}, and under another key nothing of its state would be found again; "
            "key it as it was, or give the stage another name, and it starts empty",
            before, now));
  }

  void CompareKeyed(const Held& held) {
    if (held.snapshots.empty()) {
      for (const KeyedStateSpec& state : now_.keyed) Starts(state.name);
      return;
    }
    if (!spec_.keyed_state) {
      for (const std::string& state : StatesOf(held)) {
        Add(Verdict::kDropped, state, "gone", "", "the stage keeps no state by key any more");
      }
      return;
    }
    const std::string_view format =
        spec_.role == StageRole::kSource ? kHeapKeyedFormat : kRocksKeyedFormat;
    for (const std::string& other : held.formats) {
      if (other == format) continue;
      Add(Verdict::kRefused, "", "incompatible", "",
          fmt::format("its keyed state has the format '{}', which this stage does not read (it "
                      "reads '{}')",
                      other, format));
      return;
    }
    std::vector<std::string> unread = StatesOf(held);
    for (const KeyedStateSpec& state : now_.keyed) {
      const auto schemas = held.schemas.find(state.name);
      if (schemas == held.schemas.end()) {
        Starts(state.name);
        continue;
      }
      std::erase(unread, state.name);
      std::optional<Schema> sub_key;
      const auto key = held.schemas.find(SubKeyName(state.name));
      if (key != held.schemas.end()) sub_key = key->second.front();
      AddChanges(state.name, CompareKeyedState(schemas->second, sub_key, state));
    }
    for (const std::string& state : unread) {
      Add(Verdict::kKept, state, "unread", "",
          "the job does not register it any more; its entries are carried along");
    }
  }

  // The names of keyed states that hold something.
  static std::vector<std::string> StatesOf(const Held& held) {
    std::set<std::string> sub_keys;
    for (const auto& [name, schemas] : held.schemas) sub_keys.insert(SubKeyName(name));
    std::vector<std::string> names;
    for (const auto& [name, schemas] : held.schemas) {
      if (!sub_keys.contains(name)) names.push_back(name);
    }
    return names;
  }

  void CompareOwn(const Held& held) {
    if (held.snapshots.empty()) {
      if (!now_.own.formats.empty()) Starts("");
      return;
    }
    if (now_.own.formats.empty()) {
      Add(Verdict::kDropped, "", "gone", "",
          fmt::format("the stage reads no state of the format '{}' any more (it is a {} now)",
                      fmt::join(held.formats, "', '"), spec_.kind));
      return;
    }
    std::set<std::string> reasons;
    for (const StateSnapshot* snapshot : held.snapshots) {
      const auto& formats = now_.own.formats;
      if (std::find(formats.begin(), formats.end(), snapshot->format) == formats.end()) {
        reasons.insert(
            fmt::format("its state has the format '{}', which this stage does not read "
                        "(it reads '{}')",
                        snapshot->format, fmt::join(formats, "', '")));
      } else if (now_.own.check) {
        if (Status fits = now_.own.check(*snapshot); !fits.ok()) {
          reasons.emplace(fits.message());
        }
      }
    }
    for (const std::string& reason : reasons) {
      Add(Verdict::kRefused, "", "incompatible", "", reason);
    }
    if (!reasons.empty()) return;
    bool told = false;
    for (const StateSchema& value : now_.own.values) {
      const auto schemas = held.schemas.find(value.state);
      if (schemas == held.schemas.end()) continue;
      AddChanges(value.state, CompareKeyedState(schemas->second, std::nullopt,
                                                {value.state, value.schema, std::nullopt}));
      told = true;
    }
    if (!told) Add(Verdict::kFits, "", "none", "", "");
  }

  const StageSpec& spec_;
  const StateDescription& now_;
  std::vector<FitFinding>& findings_;
};

// Of a stage that the job does not have.
void DropStage(const StageState& written, std::vector<FitFinding>& findings) {
  const auto drop = [&](std::string_view state, std::string text) {
    findings.push_back(
        {Verdict::kDropped, written.name, std::string(state), "gone", "", std::move(text)});
  };
  const Held keyed(written, &SubtaskState::keyed_state);
  const Held own(written, &SubtaskState::operator_state);
  if (!keyed.snapshots.empty() || !own.snapshots.empty()) {
    drop("", "the job has no such stage: name the stage as it was, or its state is lost");
  }
  if (const Pieces pieces(written); pieces.any()) {
    drop("output", fmt::format("the job has no such sink, and what was not yet committed of {} is "
                               "lost",
                               pieces.ToText()));
  }
}

std::string Line(const FitFinding& finding) {
  std::string line = fmt::format("stage '{}'", finding.stage);
  if (!finding.state.empty()) line += fmt::format(", state '{}'", finding.state);
  if (!finding.field.empty()) return fmt::format("{}: {}: {}", line, finding.field, finding.text);
  return fmt::format("{}: {}", line, finding.text);
}

}  // namespace

std::string_view ToString(FitFinding::Verdict verdict) {
  switch (verdict) {
    case Verdict::kFits:
      return "fits";
    case Verdict::kStarts:
      return "starts empty";
    case Verdict::kKept:
      return "kept unread";
    case Verdict::kDropped:
      return "dropped";
    case Verdict::kRefused:
      return "does not fit";
  }
  return "";
}

bool CheckpointFit::has(FitFinding::Verdict verdict) const {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const FitFinding& finding) { return finding.verdict == verdict; });
}

std::vector<std::string> CheckpointFit::Dropped() const {
  std::vector<std::string> lines;
  for (const FitFinding& finding : findings) {
    if (finding.verdict == Verdict::kDropped) lines.push_back(Line(finding));
  }
  return lines;
}

Status CheckpointFit::Check(CheckpointId checkpoint, bool drop_state) const {
  std::vector<std::string> reasons;
  for (const FitFinding& finding : findings) {
    if (finding.verdict == Verdict::kRefused) reasons.push_back(Line(finding));
  }
  std::vector<std::string> ways;
  if (!reasons.empty()) {
    ways.emplace_back("give what has changed another name, or go on with the job that wrote it");
  }
  if (!drop_state && has(Verdict::kDropped)) {
    for (std::string& line : Dropped()) reasons.push_back(std::move(line));
    ways.emplace_back("--drop-state accepts that it is lost");
  }
  if (reasons.empty()) return absl::OkStatus();
  ways.emplace_back("--fresh starts over");
  return absl::OutOfRangeError(fmt::format("checkpoint {} does not fit this job:\n{}\n{}",
                                           checkpoint, fmt::join(reasons, "\n"),
                                           fmt::join(ways, "; ")));
}

StatusOr<CheckpointFit> FitCheckpoint(const Manifest& manifest, const BuiltJob& job) {
  CheckpointFit fit;
  for (const StageState& written : manifest.stages) {
    if (job.graph.FindStage(written.name) < 0) DropStage(written, fit.findings);
  }
  for (size_t s = 0; s < job.stages.size(); ++s) {
    const StageSpec& spec = job.graph.stages[s];
    if (!job.stages[s].made_here()) continue;
    StatusOr<StateDescription> now = Describe(job.stages[s]);
    if (!now.ok()) {
      return absl::FailedPreconditionError(
          fmt::format("stage '{}' cannot say what state it keeps: {}", spec.name,
                      std::string(now.status().message())));
    }
    StageComparison comparison(spec, *now, fit.findings);
    const StageState* written = manifest.FindStage(spec.name);
    written != nullptr ? comparison.Compare(*written) : comparison.Start();
  }
  return fit;
}

}  // namespace weir
