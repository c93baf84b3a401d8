#include "shadow/pairing.h"

#include <algorithm>
#include <optional>

#include "core/hash.h"
#include "core/json.h"
#include "shadow/comparison.h"
#include "shadow/limits.h"
#include "shadow/record_writer.h"

namespace weir::shadow {
namespace {

using Kind = JsonValue::Kind;

// A field of a record, and its value, by their hashes.
struct Leaf {
  uint64_t path = 0;
  uint64_t value = 0;
};

// The leaves of canonical texts: members that are no objects, lists as a whole.
class LeafReader {
 public:
  std::vector<Leaf> Read(const std::string& text) {
    leaves_.clear();
    const auto root = parser_.ParseUnpadded(text);
    if (root.ok()) Visit(*root, 0, 0);
    std::sort(leaves_.begin(), leaves_.end(),
              [](const Leaf& a, const Leaf& b) { return a.path < b.path; });
    return leaves_;
  }

 private:
  void Visit(const JsonValue& value, uint64_t path, int depth) {
    if (leaves_.size() == limits::kPairingLeavesMax) return;
    if (value.kind() == Kind::kObject && depth < limits::kDepthMax) {
      value.ForEachMember([&](std::string_view name, const JsonValue& member) {
        Visit(member, SaltedHash64(name, path), depth + 1);
      });
      return;
    }
    text_.clear();
    writer_.Write(value, plain_, plain_.root(), text_);
    leaves_.push_back({path, Hash64(text_)});
  }

  JsonParser parser_;
  RecordWriter writer_;
  const FieldRules plain_;
  std::string text_;
  std::vector<Leaf> leaves_;
};

}  // namespace

class LeftoverPairer {
 public:
  LeftoverPairer(const Leftovers& leftovers, const OutputRules& rules, OutputStatistics& statistics)
      : rules_(rules), statistics_(statistics) {
    for (const auto& [key, counts] : leftovers.texts_) {
      // What all have written meets at once.
      const uint64_t common = std::min({counts.baseline, counts.again, counts.candidate});
      CountUnkeyed({counts.block, common, common, common}, rules, statistics_);
      const Leftover rest = {counts.block, counts.baseline - common, counts.again - common,
                             counts.candidate - common};
      if (!counts.equal()) open_.push_back({&key.second, rest, {}});
    }
    // The order of the texts, not of their hashes: what looks alike stands together.
    std::sort(open_.begin(), open_.end(),
              [](const Text& a, const Text& b) { return *a.text < *b.text; });
    LeafReader reader;
    for (Text& text : open_) text.leaves = reader.Read(*text.text);
  }

  void Run() {
    for (std::vector<uint64_t> fields = StableFields(); !fields.empty() && !open_.empty();) {
      PairBy(fields);
      // Those that are left may agree in other fields.
      std::vector<uint64_t> fewer = StableFields();
      if (fewer.size() >= fields.size()) {
        fewer = std::move(fields);
        fewer.resize(fewer.size() - std::max<size_t>(1, fewer.size() / 4));
      }
      fields = std::move(fewer);
    }
    PairNearest();
    for (const Text& text : open_) Flush({&text});
  }

 private:
  struct Text {
    const std::string* text;
    Leftover counts;
    std::vector<Leaf> leaves;
  };

  static uint64_t CountOf(const Leftover& counts, int version) {
    return version == 0 ? counts.baseline : version == 1 ? counts.again : counts.candidate;
  }

  // Fields of which most values are as frequent in each version; the surest first.
  std::vector<uint64_t> StableFields() const {
    std::map<std::pair<uint64_t, uint64_t>, Leftover> values;  // by path, value
    for (const Text& text : open_) {
      for (const Leaf& leaf : text.leaves) values[{leaf.path, leaf.value}].Merge(text.counts);
    }
    struct Field {
      uint64_t total = 0, again = 0, candidate = 0, values = 0;
    };
    std::map<uint64_t, Field> fields;
    for (const auto& [key, counts] : values) {
      Field& field = fields[key.first];
      field.total += std::max({counts.baseline, counts.again, counts.candidate});
      field.again += std::min(counts.baseline, counts.again);
      field.candidate += std::min(counts.baseline, counts.candidate);
      ++field.values;
    }
    std::vector<std::pair<double, uint64_t>> ranks;
    for (const auto& [path, field] : fields) {
      const double agreement = static_cast<double>(std::min(field.again, field.candidate)) /
                               static_cast<double>(field.total);
      // A field with one value for all tells nothing apart.
      if (agreement >= 0.5 && field.values > 1) ranks.emplace_back(-agreement, path);
    }
    std::sort(ranks.begin(), ranks.end());
    std::vector<uint64_t> paths;
    for (const auto& [agreement, path] : ranks) paths.push_back(path);
    return paths;
  }

  // Groups of texts that agree in all these fields, if every version has equally many of them.
  void PairBy(const std::vector<uint64_t>& fields) {
    std::map<uint64_t, std::vector<size_t>> groups;  // by a hash of the values
    std::vector<uint64_t> values(fields.size());
    for (size_t i = 0; i < open_.size(); ++i) {
      for (size_t f = 0; f < fields.size(); ++f) values[f] = ValueOf(open_[i], fields[f]);
      const auto* bytes = reinterpret_cast<const char*>(values.data());
      groups[Hash64({bytes, values.size() * sizeof(uint64_t)})].push_back(i);
    }
    std::vector<bool> done(open_.size());
    for (const auto& [hash, members] : groups) {
      Leftover sum;
      for (size_t i : members) sum.Merge(open_[i].counts);
      if (!sum.equal() || sum.baseline == 0 || sum.baseline > limits::kPairingGroupMax) continue;
      std::vector<const Text*> group;
      for (size_t i : members) {
        group.push_back(&open_[i]);
        done[i] = true;
      }
      Flush(group);
    }
    size_t i = 0;
    std::erase_if(open_, [&](const Text&) { return done[i++]; });
  }

  static uint64_t ValueOf(const Text& text, uint64_t path) {
    const auto leaf =
        std::lower_bound(text.leaves.begin(), text.leaves.end(), path,
                         [](const Leaf& one, uint64_t wanted) { return one.path < wanted; });
    return leaf != text.leaves.end() && leaf->path == path ? leaf->value : 0;
  }

  // What still has no counterpart meets the text that agrees with it in the most fields, at least
  // half.
  void PairNearest() {
    if (open_.size() > limits::kPairingNearestMax) return;
    std::vector<bool> done(open_.size());
    for (size_t i = 0; i < open_.size(); ++i) {
      if (open_[i].counts.baseline != 1 || done[i]) continue;
      std::vector<const Text*> group = {&open_[i]};
      for (int version : {1, 2}) {
        if (CountOf(open_[i].counts, version) > 0) continue;
        const auto nearest = Nearest(open_[i], version, done);
        if (!nearest || &open_[*nearest] == group.back()) continue;
        group.push_back(&open_[*nearest]);
        done[*nearest] = true;
      }
      if (group.size() == 1) continue;
      done[i] = true;
      Flush(group);
    }
    size_t i = 0;
    std::erase_if(open_, [&](const Text&) { return done[i++]; });
  }

  std::optional<size_t> Nearest(const Text& text, int version,
                                const std::vector<bool>& done) const {
    std::optional<size_t> nearest;
    size_t most = 0;
    for (size_t j = 0; j < open_.size(); ++j) {
      const Text& other = open_[j];
      if (done[j] || other.counts.baseline > 0 || CountOf(other.counts, version) == 0) continue;
      size_t agree = 0;
      for (const Leaf& leaf : other.leaves) agree += ValueOf(text, leaf.path) == leaf.value;
      if (agree > most && 2 * agree >= text.leaves.size()) {
        most = agree;
        nearest = j;
      }
    }
    return nearest;
  }

  // These texts' records are counterparts.
  void Flush(const std::vector<const Text*>& group) {
    KeyedRecords records;
    records.block = group[0]->counts.block;
    for (const Text* text : group) {
      records.block = std::min(records.block, text->counts.block);
      records.baseline.insert(records.baseline.end(), text->counts.baseline, *text->text);
      records.again.insert(records.again.end(), text->counts.again, *text->text);
      records.candidate.insert(records.candidate.end(), text->counts.candidate, *text->text);
    }
    comparer_.Compare(records, statistics_);
  }

  const OutputRules& rules_;
  OutputStatistics& statistics_;
  RecordComparer comparer_{rules_};
  std::vector<Text> open_;
};

void Leftover::Merge(const Leftover& other) {
  const bool empty = baseline + again + candidate == 0;
  block = empty ? other.block : std::min(block, other.block);
  baseline += other.baseline;
  again += other.again;
  candidate += other.candidate;
}

void Leftovers::Add(std::string_view text, const Leftover& counts) {
  const auto [entry, fresh] = texts_.try_emplace(std::pair(Hash64(text), std::string(text)));
  entry->second.Merge(counts);
  if (!fresh) return;
  bytes_ += text.size();
  Bound();
}

void Leftovers::Merge(const Leftovers& other) {
  for (const auto& [key, counts] : other.texts_) Add(key.second, counts);
  dropped_.Merge(other.dropped_);
}

void Leftovers::Bound() {
  while (texts_.size() > limits::kLeftoversMax || bytes_ > limits::kLeftoversBytesMax) {
    const auto last = std::prev(texts_.end());
    bytes_ -= last->first.second.size();
    dropped_.Merge(last->second);
    texts_.erase(last);
  }
}

bool CountUnkeyed(const Leftover& counts, const OutputRules& rules, OutputStatistics& statistics) {
  if (!counts.equal()) return true;
  if (!rules.key.empty()) statistics.without_key += counts.baseline;
  statistics.AddEqual(counts.block, counts.baseline);
  return false;
}

void PairLeftovers(const Leftovers& leftovers, const OutputRules& rules,
                   OutputStatistics& statistics) {
  const Leftover& dropped = leftovers.dropped();
  statistics.baseline_records += dropped.baseline;
  statistics.again_records += dropped.again;
  statistics.candidate_records += dropped.candidate;
  statistics.unpaired += std::max({dropped.baseline, dropped.again, dropped.candidate});
  LeftoverPairer(leftovers, rules, statistics).Run();
}

}  // namespace weir::shadow
