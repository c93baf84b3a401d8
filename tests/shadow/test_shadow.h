// TestShadow: three versions' lines to a verdict, as the operators and the command of a shadow take
// them there, but in memory: records are keyed, split over partitions, compared, their statistics
// sent through both codecs and merged in a random order.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/codec.h"
#include "core/slab.h"
#include "shadow/comparison.h"
#include "shadow/pairing.h"
#include "shadow/record.h"
#include "shadow/rules.h"
#include "shadow/verdict.h"

namespace weir::shadow {

inline constexpr Timestamp kToday = 1'790'000'000'000'000;  // 2026-09-21

inline std::shared_ptr<const ShadowRules> RulesOf(std::string_view yaml) {
  if (yaml.empty()) return std::make_shared<const ShadowRules>();
  auto rules = ParseShadowRules(yaml, "shadow.yaml", kToday);
  if (!rules.ok()) fprintf(stderr, "%s\n", std::string(rules.status().message()).c_str());
  WEIR_CHECK(rules.ok());
  return *std::move(rules);
}

// The value, written and read by its codec and as JSON.
template <class T>
T Travelled(const T& value) {
  const std::string bytes = EncodeToString(value);
  T decoded;
  ByteReader in(bytes);
  WEIR_CHECK(Codec<T>::Decode(in, decoded) && in.done());
  JsonWriter json;
  Codec<T>::WriteJson(decoded, json);
  JsonParser parser;
  T read;
  SlabArena arena;
  const auto root = parser.ParseUnpadded(json.text());
  WEIR_CHECK(root.ok());
  WEIR_CHECK(Codec<T>::ReadJson(*root, read, arena).ok());
  return read;
}

class TestShadow {
 public:
  explicit TestShadow(std::string_view yaml, uint64_t seed = 1)
      : rules_(RulesOf(yaml)), random_(seed) {}

  // One record in each version; nullptr: it has none.
  void Add(std::string_view output, const char* baseline, const char* again,
           const char* candidate) {
    if (baseline != nullptr) AddTo(output, 0, baseline);
    if (again != nullptr) AddTo(output, 1, again);
    if (candidate != nullptr) AddTo(output, 2, candidate);
    ++block_;
  }
  void Add(std::string_view output, const std::string& a, const std::string& b,
           const std::string& c) {
    Add(output, a.c_str(), b.c_str(), c.c_str());
  }
  void Declare(DeclaredOutput output) { result_.Declare(std::move(output)); }

  Verdict Judge() {
    Close();
    result_.Finish(*rules_);
    return shadow::Judge(result_, *rules_);
  }

 private:
  static constexpr size_t kPartitions = 3;
  struct Open {
    std::string key;
    uint64_t block = 0;
    std::array<std::vector<std::string>, 3> texts;
  };
  struct Output {
    explicit Output(const OutputRules& rules) : reader(rules) {}
    RecordReader reader;
    std::map<std::string, Open> keyed;
    std::map<std::string, Leftover> unkeyed;
  };

  void AddTo(std::string_view name, int version, std::string_view line) {
    const auto [entry, fresh] = outputs_.try_emplace(std::string(name), rules_->For(name));
    Output& output = entry->second;
    const Record& record = output.reader.ReadUnpadded(line);
    if (record.key.empty()) {
      Leftover one;
      one.block = block_;
      (version == 0 ? one.baseline : version == 1 ? one.again : one.candidate) = 1;
      output.unkeyed[std::string(record.text)].Merge(one);
      return;
    }
    Open& open = output.keyed[std::string(record.key)];
    if (open.key.empty()) open.block = block_;
    open.key = record.key;
    open.texts[static_cast<size_t>(version)].emplace_back(record.text);
  }

  void Close() {
    std::vector<OutputStatistics> parts;
    for (auto& [name, output] : outputs_) {
      const OutputRules& rules = rules_->For(name);
      RecordComparer comparer(rules);
      std::array<OutputStatistics, kPartitions> partitions;
      for (auto& [key, open] : output.keyed) {
        KeyedRecords records{open.key, open.block, {}, {}, {}};
        for (const std::string& text : open.texts[0]) records.baseline.push_back(text);
        for (const std::string& text : open.texts[1]) records.again.push_back(text);
        for (const std::string& text : open.texts[2]) records.candidate.push_back(text);
        comparer.Compare(records, partitions[random_() % kPartitions]);
      }
      for (const auto& [text, counts] : output.unkeyed) {
        if (CountUnkeyed(counts, rules, partitions[random_() % kPartitions])) {
          result_.Add(Travelled(LeftoverText{name, text, counts}));
        }
      }
      for (OutputStatistics& partition : partitions) {
        partition.output = name;
        parts.push_back(Travelled(partition));
      }
    }
    std::shuffle(parts.begin(), parts.end(), random_);
    for (const OutputStatistics& part : parts) result_.Add(part);
    outputs_.clear();
  }

  const std::shared_ptr<const ShadowRules> rules_;
  std::mt19937_64 random_;
  uint64_t block_ = 0;
  std::map<std::string, Output> outputs_;
  ShadowResult result_;
};

inline const OutputVerdict& OutputOf(const Verdict& verdict, std::string_view name) {
  for (const OutputVerdict& output : verdict.outputs) {
    if (output.name == name) return output;
  }
  WEIR_CHECK(false);
  __builtin_unreachable();
}

// The field's verdict; an empty path if it has none.
inline FieldVerdict FieldOf(const OutputVerdict& output, std::string_view path) {
  for (const FieldVerdict& field : output.fields) {
    if (field.path == path) return field;
  }
  return {};
}

}  // namespace weir::shadow
