#include "shadow/comparator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/limits.h"
#include "operators/transforms/process.h"
#include "shadow/keys_in_state.h"
#include "shadow/limits.h"
#include "shadow/match_buffer.h"
#include "shadow/waiting.h"

namespace weir::shadow {
namespace {

constexpr size_t kBufferPart = 8;  // of the instance's memory, at most

uint64_t BlockOf(Timestamp time) { return static_cast<uint64_t>(std::max<Timestamp>(0, time)); }

// What is known of an output.
struct Target {
  explicit Target(const OutputRules& rules) : rules(rules), comparer(rules) {}
  const OutputRules& rules;
  RecordComparer comparer;
  OutputStatistics statistics;  // of what was found since they were taken
};

class Targets {
 public:
  explicit Targets(std::shared_ptr<const ShadowRules> rules) : rules_(std::move(rules)) {}

  Target& Of(std::string_view output) {
    auto at = targets_.find(output);
    if (at == targets_.end()) {
      at = targets_.try_emplace(std::string(output), rules_->For(output)).first;
      at->second.statistics.output = at->first;
    }
    return at->second;
  }
  // What was found since the last call: nothing of an output of which nothing was.
  BatchPtr Take() {
    auto results = std::make_unique<Batch<PartialResult>>();
    for (auto& [output, target] : targets_) {
      OutputStatistics nothing;
      nothing.output = output;
      if (target.statistics == nothing) continue;
      PartialResult finding;
      finding.statistics = std::exchange(target.statistics, std::move(nothing));
      results->Add(std::move(finding), kMinTimestamp);
    }
    return results;
  }

 private:
  const std::shared_ptr<const ShadowRules> rules_;
  std::map<std::string, Target, std::less<>> targets_;
};

// What the operator and its function share.
struct Shared {
  explicit Shared(const ComparatorOptions& options)
      : targets(options.rules), in_state(options.keys_in_state) {}
  Targets targets;
  KeysInState in_state;
  std::optional<Timestamp> first_watermark;
};

// Of records whose time is not before the watermark at their arrival.
class Compare {
 public:
  Compare(std::shared_ptr<Shared> shared, Duration patience)
      : shared_(std::move(shared)), patience_(patience) {}

  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(keys_, ValueState<WaitingKey>::Register(store, "keys"));
    WEIR_ASSIGN_OR_RETURN(texts_, ValueState<WaitingText>::Register(store, "texts"));
    WEIR_RETURN_IF_ERROR(NoteKeysOf(keys_));
    return NoteKeysOf(texts_);
  }

  Status Process(const TappedRecord& record, ProcessContext<PartialResult>& context) {
    return record.key.empty() ? AddText(record, context) : AddKeyed(record, context);
  }

  Status OnTimer(TimerKind, Timestamp time, ProcessContext<PartialResult>& context) {
    WEIR_ASSIGN_OR_RETURN(std::optional<WaitingText> text, texts_.Get(context.key()));
    if (text && text->due <= time) {
      WEIR_RETURN_IF_ERROR(Clear(texts_, context.key()));
      Target& target = shared_->targets.Of(text->text.output);
      if (CountUnkeyed(text->text.counts, target.rules, target.statistics)) {
        context.Emit({std::nullopt, std::move(text->text)});
      }
    }
    WEIR_ASSIGN_OR_RETURN(std::optional<WaitingKey> key, keys_.Get(context.key()));
    if (!key || key->timer > time) return absl::OkStatus();
    if (key->counted && context.watermark() == kMaxTimestamp) CountKey(*key);
    CompareDue(*key, time, context.watermark());
    if (key->empty()) return Clear(keys_, context.key());
    // What is counted may be ahead in one version, and is only known in the end.
    key->timer = kMaxTimestamp;
    for (const auto* waiting : key->versions()) {
      for (const Waiting& one : *waiting) key->timer = std::min(key->timer, DueAfter(one.since));
    }
    WEIR_RETURN_IF_ERROR(context.SetTimer(TimerKind::kEventTime, key->timer));
    return keys_.Set(context.key(), *key);
  }

 private:
  Timestamp DueAfter(Timestamp since) const {
    return since > kMaxTimestamp - patience_ ? kMaxTimestamp : since + patience_;
  }

  Status AddText(const TappedRecord& record, ProcessContext<PartialResult>& context) {
    WEIR_ASSIGN_OR_RETURN(std::optional<WaitingText> waiting, texts_.Get(context.key()));
    const bool first = !waiting;
    if (first) {
      waiting.emplace();
      waiting->due = DueAfter(context.time());
      waiting->text.output = record.output;
      waiting->text.text = record.text;
      waiting->text.counts.block = BlockOf(context.time());
    }
    Leftover& counts = waiting->text.counts;
    ++OfVersion(static_cast<Version>(record.version), counts.baseline, counts.again,
                counts.candidate);
    if (counts.equal()) {
      WEIR_RETURN_IF_ERROR(Clear(texts_, context.key()));
      WEIR_RETURN_IF_ERROR(context.RemoveTimer(TimerKind::kEventTime, waiting->due));
      Target& target = shared_->targets.Of(record.output);
      CountUnkeyed(counts, target.rules, target.statistics);
      return absl::OkStatus();
    }
    if (first) {
      shared_->in_state.Add(FingerprintOf(record.meeting));
      WEIR_RETURN_IF_ERROR(context.SetTimer(TimerKind::kEventTime, waiting->due));
    }
    return texts_.Set(context.key(), *waiting);
  }

  Status AddKeyed(const TappedRecord& record, ProcessContext<PartialResult>& context) {
    WEIR_ASSIGN_OR_RETURN(std::optional<WaitingKey> waiting, keys_.Get(context.key()));
    const bool first = !waiting;
    if (first) {
      waiting.emplace();
      waiting->timer = DueAfter(context.time());
      waiting->output = record.output;
      waiting->key = record.key;
      waiting->block = BlockOf(context.time());
    }
    const auto version = static_cast<Version>(record.version);
    const bool ordered = shared_->targets.Of(waiting->output).rules.ordered;
    if (!waiting->counted) {
      const bool early = context.watermark() == kMinTimestamp;
      Keep(version, record.text, {0, context.time(), early}, ordered, *waiting);
    }
    if (waiting->counted) {
      waiting->counted->Add(version, record.text, ordered);
      if (waiting->counted->equal()) CountKey(*waiting);
    } else {
      TakeMatches(*waiting, waiting->Of(version).back().text);
    }
    if (waiting->empty()) {
      WEIR_RETURN_IF_ERROR(Clear(keys_, context.key()));
      return context.RemoveTimer(TimerKind::kEventTime, waiting->timer);
    }
    if (first) {
      shared_->in_state.Add(FingerprintOf(record.meeting));
      WEIR_RETURN_IF_ERROR(context.SetTimer(TimerKind::kEventTime, waiting->timer));
    }
    return keys_.Set(context.key(), *waiting);
  }

  template <class State>
  Status Clear(State& state, const StateKey& key) {
    shared_->in_state.Remove(FingerprintOf(key.bytes));
    return state.Clear(key);
  }
  template <class State>
  Status NoteKeysOf(const State& state) {
    return state.ForEach([this](std::string_view meeting, const auto&) {
      shared_->in_state.Add(FingerprintOf(meeting));
      return !shared_->in_state.has_all();
    });
  }

  // Or counts instead, from now on.
  static void Keep(Version version, std::string_view text, Waiting one, bool ordered,
                   WaitingKey& key) {
    std::vector<Waiting>& own = key.Of(version);
    one.text = key.PlaceOf(text);
    if (own.size() < limits::kKeyRecordsMax && key.bytes <= limits::kKeyTextBytesMax) {
      own.push_back(one);
      return;
    }
    CountedKey& counted = key.counted.emplace();
    for (const auto each : {Version::kBaseline, Version::kAgain, Version::kCandidate}) {
      for (const Waiting& one : key.Of(each)) counted.Add(each, key.texts[one.text], ordered);
      key.Of(each).clear();
    }
    key.texts.clear();
    key.bytes = 0;
  }
  // Ends the counting: what was counted is all that there is.
  void CountKey(WaitingKey& key) {
    const CountedKey counted = *std::exchange(key.counted, std::nullopt);
    const CountedKey::Sum& a = counted.baseline;
    const CountedKey::Sum& b = counted.again;
    const CountedKey::Sum& c = counted.candidate;
    OutputStatistics& to = shared_->targets.Of(key.output).statistics;
    to.baseline_records += a.records;
    to.again_records += b.records;
    to.candidate_records += c.records;
    to.input.Add(key.block, a.records);
    if (a == b) to.again.matched += a.records;
    if (a == c) {
      to.candidate.matched += a.records;
    } else {
      to.unpaired += std::min(a.records, c.records);
    }
    const auto more = [](const CountedKey::Sum& one, const CountedKey::Sum& other) {
      return one.records > other.records ? one.records - other.records : 0;
    };
    // What a version has fewer of is missing, whatever it says.
    to.again.missing += more(a, b);
    to.again.extra += more(b, a);
    to.candidate.missing += more(a, c);
    to.candidate.extra += more(c, a);
    to.missing.AddBoth(key.block, more(a, c), more(a, b));
    to.extra.AddBoth(key.block, more(c, a), more(b, a));
    if (a == b && a.records == c.records && a != c) ++to.keys_changed;
    if (a == c) return;
    RecordSample sample;
    sample.rank = Hash64(key.key) >> 1 | (a == b ? 0 : uint64_t{1} << 63);
    sample.kind = more(a, c) > 0 ? "missing" : more(c, a) > 0 ? "extra" : "mismatched";
    sample.key = Shown(key.key, limits::kKeyBytesMax);
    sample.baseline = fmt::format("({} records)", a.records);
    sample.candidate = fmt::format("({} records)", c.records);
    to.AddSample(std::move(sample));
  }

  // What all versions have is a match, of which nothing needs to wait; where order counts, only if
  // nothing before it waits. `place`: of the text that came last.
  void TakeMatches(WaitingKey& key, uint32_t place) {
    Target& target = shared_->targets.Of(key.output);
    const auto versions = key.versions();
    for (;;) {
      std::array<std::vector<Waiting>::iterator, kVersions> found;
      for (size_t v = 0; v < versions.size(); ++v) {
        if (versions[v]->empty()) return;
        found[v] = versions[v]->begin();
        if (!target.rules.ordered) {
          found[v] = std::find_if(found[v], versions[v]->end(),
                                  [place](const Waiting& one) { return one.text == place; });
          if (found[v] == versions[v]->end()) return;
        } else if (found[v]->text != versions[0]->begin()->text) {
          return;
        }
      }
      const uint32_t text = found[0]->text;
      target.statistics.AddEqual(key.block, 1);
      for (size_t v = 0; v < versions.size(); ++v) versions[v]->erase(found[v]);
      key.Forget(text);
      if (!target.rules.ordered) return;
    }
  }

  // Compares the records if one of them is due. Others may be so young that their counterparts are
  // still to come: these stay. So that a record and its counterpart are not torn apart where their
  // times differ, the young ones are only those of the last quarter of the patience.
  void CompareDue(WaitingKey& key, Timestamp time, Timestamp watermark) {
    bool any_due = false;
    for (auto* waiting : key.versions()) {
      for (Waiting& one : *waiting) {
        if (std::exchange(one.early, false))
          one.since = std::max(one.since, *shared_->first_watermark);
        any_due |= DueAfter(one.since) <= time;
      }
    }
    if (!any_due) return;
    const auto is_young = [&](const Waiting& one) {
      return watermark != kMaxTimestamp && one.since > watermark - patience_ / 4;
    };
    Target& target = shared_->targets.Of(key.output);
    KeyedRecords records;
    records.key = key.key;
    records.block = key.block;
    std::vector<std::string_view>* const to[] = {&records.baseline, &records.again,
                                                 &records.candidate};
    for (size_t v = 0; v < kVersions; ++v) {
      for (const Waiting& one : *key.versions()[v]) {
        if (!is_young(one)) to[v]->push_back(key.texts[one.text]);
      }
    }
    target.comparer.Compare(records, target.statistics);
    for (auto* waiting : key.versions()) {
      std::erase_if(*waiting, [&](const Waiting& one) { return !is_young(one); });
    }
    for (size_t place = key.texts.size(); place-- > 0;) key.Forget(static_cast<uint32_t>(place));
  }

  std::shared_ptr<Shared> shared_;
  Duration patience_;
  ValueState<WaitingKey> keys_;
  ValueState<WaitingText> texts_;
};

// The function above, in front of it the records that wait in memory, and behind it what it has
// summed up.
//
// What a call begins may take several calls of Resume(): the buffer is emptied first, then the
// watermark goes on, then the results leave.
class Comparator final : public Operator {
  using Inner = ProcessOperator<TappedRecord, PartialResult, Compare, decltype(&MeetingOf)>;

 public:
  explicit Comparator(const ComparatorOptions& options)
      : patience_(options.patience),
        shared_(std::make_shared<Shared>(options)),
        buffer_bytes_(options.buffer_bytes),
        inner_(Compare(shared_, options.patience), &MeetingOf) {}

  StatusOr<StateDescription> DescribeState() override { return inner_.DescribeState(); }
  Status Open(OperatorContext& context) override {
    buffer_.emplace(std::min(buffer_bytes_, context.memory_bytes / kBufferPart));
    return inner_.Open(context);
  }

  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override {
    const auto& records = Batch<TappedRecord>::Of(std::as_const(*batch));
    for (size_t row = 0; row < records.rows(); ++row) {
      Take(records[row], std::max(records.times()[row], watermark_));
    }
    emptying_ = buffer_->IsFull();
    BatchPtr passed = passed_.Take(records.slabs());
    if (passed->empty()) return GoOn(Progress::kDone, out);
    return GoOn(inner_.Process(input_port, std::move(passed), out), out);
  }
  StatusOr<Progress> Resume(Output& out) override { return GoOn(inner_.Resume(out), out); }
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override {
    // What came before the first one has to be told from what comes behind it.
    emptying_ = watermark_ == kMinTimestamp || buffer_->HasUntil(DueBy(watermark));
    watermark_ = watermark;
    watermark_waits_ = true;
    return GoOn(Progress::kDone, out);
  }
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override {
    return inner_.OnTimer(kind, time, out);
  }
  StatusOr<Progress> Drain(DrainReason, Output& out) override {
    emptying_ = true;
    results_wait_ = true;
    return GoOn(Progress::kDone, out);
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    WEIR_CHECK(buffer_->empty());  // Drain() comes first
    return inner_.Freeze(checkpoint);
  }
  void OnCheckpointComplete(CheckpointId checkpoint) override {
    inner_.OnCheckpointComplete(checkpoint);
  }
  void Close() override { inner_.Close(); }
  Timestamp OutputWatermark(Timestamp input) const override {
    return inner_.OutputWatermark(input);
  }

 private:
  // Which records are due by the watermark.
  Timestamp DueBy(Timestamp watermark) const {
    if (watermark == kMaxTimestamp) return kMaxTimestamp;
    return watermark < kMinTimestamp + patience_ ? kMinTimestamp : watermark - patience_;
  }

  // To the state goes what something waits for there, and all where the order counts.
  void Take(const TappedRecord& record, Timestamp time) {
    Target& target = shared_->targets.Of(record.output);
    if (target.rules.ordered || shared_->in_state.MayHave(FingerprintOf(record.meeting))) {
      passed_.BeginRow(time).Emit(record);
      passed_.CommitRow();
    } else if (buffer_->Add(record, time)) {
      if (record.key.empty()) {
        CountUnkeyed({BlockOf(time), 1, 1, 1}, target.rules, target.statistics);
      } else {
        target.statistics.AddEqual(BlockOf(time), 1);
      }
    }
  }

  // Behind a call of the inner operator.
  StatusOr<Progress> GoOn(StatusOr<Progress> progress, Output& out) {
    // From now on everything goes to the state: so must what it is to meet.
    emptying_ |= shared_->in_state.has_all() && !buffer_->empty();
    while (progress.ok() && *progress == Progress::kDone && emptying_) {
      emptying_ = !buffer_->empty();
      BatchPtr batch = buffer_->Take();
      if (batch->empty()) continue;
      progress = inner_.Process(0, std::move(batch), out);
      if (progress.ok() && *progress == Progress::kDone) return Progress::kMoreOutput;
    }
    if (progress.ok() && *progress == Progress::kDone && std::exchange(watermark_waits_, false)) {
      if (!shared_->first_watermark && watermark_ != kMinTimestamp) {
        shared_->first_watermark = watermark_;
      }
      progress = inner_.OnWatermark(watermark_, out);
    }
    if (progress.ok() && *progress == Progress::kDone && std::exchange(results_wait_, false)) {
      out.Emit(0, shared_->targets.Take());
    }
    return progress;
  }

  const Duration patience_;
  const std::shared_ptr<Shared> shared_;
  const size_t buffer_bytes_;
  std::optional<MatchBuffer> buffer_;  // from Open() on
  RowBuilder<TappedRecord> passed_;    // what the buffer does not take
  Inner inner_;
  Timestamp watermark_ = kMinTimestamp;
  // What is still to be done of a call.
  bool emptying_ = false;
  bool watermark_waits_ = false;
  bool results_wait_ = false;
};

}  // namespace

std::string_view MeetingOf(const TappedRecord& record) { return record.meeting; }

std::unique_ptr<Operator> MakeComparator(ComparatorOptions options) {
  return std::make_unique<Comparator>(options);
}

}  // namespace weir::shadow
