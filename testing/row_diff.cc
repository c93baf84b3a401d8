#include "testing/row_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/json.h"

namespace weir::testing {
namespace {

// Rows beyond these are counted and not told apart: which changed into which is asked of each pair.
constexpr size_t kPairedMax = 300;

using Leaves = std::map<std::string, std::string>;  // path -> value as JSON

std::string Quoted(std::string_view text) {
  JsonWriter writer;
  writer.String(text);
  return std::string(writer.text());
}

void Flatten(const JsonValue& value, const std::string& path, Leaves& leaves) {
  using Kind = JsonValue::Kind;
  const Kind kind = value.kind();
  if (kind == Kind::kObject && value.size() > 0) {
    value.ForEachMember([&](std::string_view key, const JsonValue& member) {
      Flatten(member, path.empty() ? std::string(key) : fmt::format("{}.{}", path, key), leaves);
    });
  } else if (kind == Kind::kArray && value.size() > 0) {
    size_t i = 0;
    value.ForEachElement([&](const JsonValue& element) {
      Flatten(element, fmt::format("{}[{}]", path, i++), leaves);
    });
  } else {
    leaves[path] = kind == Kind::kObject   ? "{}"
                   : kind == Kind::kArray  ? "[]"
                   : kind == Kind::kNull   ? "null"
                   : kind == Kind::kBool   ? (*value.GetBool() ? "true" : "false")
                   : kind == Kind::kNumber ? std::string(*value.GetText())
                                           : Quoted(*value.GetString());
  }
}

Leaves LeavesOf(const std::string& document) {
  JsonParser parser;
  StatusOr<JsonValue> value = parser.ParseUnpadded(document);
  Leaves leaves;
  if (value.ok()) {
    Flatten(*value, "", leaves);
  } else {
    leaves[""] = document;
  }
  return leaves;
}

size_t EqualLeaves(const Leaves& a, const Leaves& b) {
  size_t equal = 0;
  for (const auto& [path, value] : a) {
    auto other = b.find(path);
    equal += other != b.end() && other->second == value;
  }
  return equal;
}

struct Row {
  size_t index;
  const std::string* document;
};

struct Parts {
  std::vector<Row> missing;
  std::vector<Row> extra;
  size_t same = 0;
};

Parts TakeApart(const std::vector<std::string>& expected, const std::vector<std::string>& actual) {
  std::map<std::string_view, std::vector<size_t>> found;
  for (size_t i = actual.size(); i-- > 0;) found[actual[i]].push_back(i);
  Parts parts;
  std::vector<bool> matched(actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    auto it = found.find(expected[i]);
    if (it == found.end() || it->second.empty()) {
      parts.missing.push_back({i, &expected[i]});
      continue;
    }
    matched[it->second.back()] = true;
    it->second.pop_back();
    ++parts.same;
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!matched[i]) parts.extra.push_back({i, &actual[i]});
  }
  return parts;
}

class Report {
 public:
  explicit Report(size_t shown) : shown_(shown) {}

  void Changed(const Row& was, const Row& is) {
    if (++changed_ > shown_) return;
    text_ += fmt::format("  changed  [{}] {}\n", is.index, *is.document);
    const Leaves before = LeavesOf(*was.document);
    const Leaves after = LeavesOf(*is.document);
    std::set<std::string> paths;
    for (const auto& [path, value] : before) paths.insert(path);
    for (const auto& [path, value] : after) paths.insert(path);
    for (const std::string& path : paths) {
      auto value = [&](const Leaves& leaves) {
        auto it = leaves.find(path);
        return it == leaves.end() ? std::string("nothing") : it->second;
      };
      if (value(before) == value(after)) continue;
      text_ += fmt::format("               {}: expected {}, found {}\n", path, value(before),
                           value(after));
    }
  }
  void Missing(const Row& row) {
    if (++missing_ <= shown_) {
      text_ += fmt::format("  missing  [{}] {}\n", row.index, *row.document);
    }
  }
  void Extra(const Row& row) {
    if (++extra_ <= shown_) {
      text_ += fmt::format("  extra    [{}] {}\n", row.index, *row.document);
    }
  }
  std::string Finish() {
    auto more = [&](size_t count, const char* what) {
      if (count > shown_) text_ += fmt::format("  ... and {} more {}\n", count - shown_, what);
    };
    more(changed_, "changed");
    more(missing_, "missing");
    more(extra_, "extra");
    return std::move(text_);
  }

 private:
  const size_t shown_;
  size_t changed_ = 0, missing_ = 0, extra_ = 0;
  std::string text_;
};

std::string Describe(Parts parts, const RowComparison& comparison) {
  Report report(comparison.shown);
  std::vector<Leaves> extra;
  const size_t paired_max = std::min(parts.extra.size(), kPairedMax);
  for (size_t i = 0; i < paired_max; ++i) extra.push_back(LeavesOf(*parts.extra[i].document));
  std::vector<bool> taken(parts.extra.size());
  std::vector<Row> missing;
  for (size_t m = 0; m < parts.missing.size(); ++m) {
    const Leaves wanted = m < kPairedMax ? LeavesOf(*parts.missing[m].document) : Leaves();
    size_t best = parts.extra.size();
    size_t best_equal = 0;
    for (size_t e = 0; e < extra.size(); ++e) {
      if (taken[e]) continue;
      const size_t equal = EqualLeaves(wanted, extra[e]);
      // At least half of a row is what it was, or it is another row.
      if (equal > best_equal && equal * 2 >= std::max(wanted.size(), extra[e].size())) {
        best = e;
        best_equal = equal;
      }
    }
    if (best == parts.extra.size()) {
      missing.push_back(parts.missing[m]);
      continue;
    }
    taken[best] = true;
    report.Changed(parts.missing[m], parts.extra[best]);
  }
  for (const Row& row : missing) report.Missing(row);
  for (size_t e = 0; e < parts.extra.size(); ++e) {
    if (!taken[e]) report.Extra(parts.extra[e]);
  }
  return report.Finish();
}

std::string Compare(const std::vector<std::string>& expected,
                    const std::vector<std::string>& actual, const RowComparison& comparison) {
  if (expected == actual) return "";
  Parts parts = TakeApart(expected, actual);
  if (parts.missing.empty() && parts.extra.empty()) {
    if (comparison.order == RowOrder::kAny) return "";
    const size_t at = static_cast<size_t>(
        std::mismatch(expected.begin(), expected.end(), actual.begin()).first - expected.begin());
    return fmt::format(
        "the same rows in another order: at [{}]\n  expected     {}\n  found        {}\n", at,
        expected[at], actual[at]);
  }
  const size_t same = parts.same;
  return fmt::format("rows differ: {} expected, {} found, {} the same\n{}", expected.size(),
                     actual.size(), same, Describe(std::move(parts), comparison));
}

}  // namespace

std::string RowDifference(const std::vector<std::string>& expected,
                          const std::vector<std::string>& actual, const RowComparison& comparison) {
  if (comparison.order != RowOrder::kSamePerKey) return Compare(expected, actual, comparison);
  std::map<std::string, std::pair<std::vector<std::string>, std::vector<std::string>>> by_key;
  auto key_of = [&](const std::string& document) {
    const Leaves leaves = LeavesOf(document);
    auto key = leaves.find(comparison.key);
    return key == leaves.end() ? std::string("without a key") : key->second;
  };
  for (const std::string& row : expected) by_key[key_of(row)].first.push_back(row);
  for (const std::string& row : actual) by_key[key_of(row)].second.push_back(row);
  std::string difference;
  for (const auto& [key, rows] : by_key) {
    const std::string own = Compare(rows.first, rows.second, comparison);
    if (!own.empty()) difference += fmt::format("{} {}: {}", comparison.key, key, own);
  }
  return difference;
}

void AppendJson(const RowCodec& codec, const BatchBase& batch, std::vector<std::string>& rows) {
  JsonWriter writer;
  for (size_t i = 0; i < batch.rows(); ++i) {
    writer.Clear();
    codec.WriteJson(batch, i, writer);
    rows.emplace_back(writer.text());
  }
}

}  // namespace weir::testing
