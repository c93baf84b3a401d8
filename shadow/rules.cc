#include "shadow/rules.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "operators/transforms/rule_yaml.h"

namespace weir::shadow {
namespace {

// What the file says of one output, or of all.
struct Section {
  struct Field {
    FieldPath path;
    FieldSetting setting;
  };
  std::optional<std::vector<std::string>> key;
  std::optional<bool> ordered;
  std::optional<uint64_t> minimum;
  std::optional<double> fail_total;
  std::vector<Field> fields;
  int line = 0;
};

std::optional<Timestamp> EndOfDay(const std::string& date) {
  const auto begin = ParseRfc3339(date + "T00:00:00Z");
  if (!begin || date.size() != 10) return std::nullopt;
  return *begin + Hours(24);
}

}  // namespace

class ShadowRulesParser {
 public:
  ShadowRulesParser(std::string_view file_name, Timestamp now) : yaml_(file_name), now_(now) {}

  StatusOr<std::shared_ptr<const ShadowRules>> Parse(std::string_view yaml) {
    yaml_.Load(yaml, [this](const YAML::Node& root) { ReadTop(root); });
    if (yaml_.ok()) Combine();
    if (!yaml_.ok()) return yaml_.Errors();
    return std::make_shared<const ShadowRules>(std::move(rules_));
  }

 private:
  // Called with the value of a member; `what` is for messages.
  using Read = std::function<void(const YAML::Node& value)>;
  using Members = std::vector<std::pair<std::string_view, Read>>;

  // Reads a map whose keys are those of `members`; any other is an error.
  void ReadMembers(const YAML::Node& map, std::string_view what, const Members& members) {
    yaml_.EachMember(
        map, what, [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
          for (const auto& [name, read] : members) {
            if (name == key) return read(value);
          }
          std::vector<std::string_view> names;
          for (const auto& member : members) names.push_back(member.first);
          yaml_.Error(at, fmt::format("{}: unknown key '{}'{}", what, key, Suggestion(key, names)));
        });
  }

  void ReadTop(const YAML::Node& root) {
    ReadMembers(root, "rules file",
                {{"all", [&](const YAML::Node& value) { all_ = ReadSection(value, "all"); }},
                 {"outputs",
                  [&](const YAML::Node& value) {
                    yaml_.EachMember(
                        value, "outputs",
                        [&](const std::string& name, const YAML::Node&, const YAML::Node& section) {
                          outputs_[name] = ReadSection(section, name);
                        });
                  }},
                 {"known", [&](const YAML::Node& value) {
                    yaml_.EachElement(value, "known",
                                      [&](const YAML::Node& known) { ReadKnown(known); });
                  }}});
  }

  Section ReadSection(const YAML::Node& node, std::string_view what) {
    Section section;
    section.line = RuleYaml::LineOf(node);
    FieldSetting every;
    ReadMembers(
        node, what,
        {{"key", [&](const YAML::Node& value) { section.key = ReadKey(value); }},
         {"ordered", [&](const YAML::Node& value) { section.ordered = Flag(value, "ordered"); }},
         {"ignore",
          [&](const YAML::Node& value) {
            FieldSetting setting;
            setting.ignore = true;
            ReadPaths(value, "ignore", setting, section);
          }},
         {"unordered",
          [&](const YAML::Node& value) {
            FieldSetting setting;
            setting.unordered = true;
            ReadPaths(value, "unordered", setting, section);
          }},
         {"numbers",
          [&](const YAML::Node& value) {
            ReadMembers(value, "numbers",
                        {{"absolute", Tolerance("absolute", every.absolute)},
                         {"relative", Tolerance("relative", every.relative)}});
          }},
         {"times",
          [&](const YAML::Node& value) {
            ReadMembers(value, "times", {{"within", Within(every.within)}});
          }},
         {"text", [&](const YAML::Node& value) { ReadText(value, every); }},
         {"fields", [&](const YAML::Node& value) { ReadFields(value, section); }},
         {"minimum",
          [&](const YAML::Node& value) {
            const auto number = yaml_.Integer(value, "minimum");
            if (number && *number < 1) yaml_.Error(value, "minimum: expected at least 1");
            if (number && *number >= 1) section.minimum = static_cast<uint64_t>(*number);
          }},
         {"fail", [&](const YAML::Node& value) {
            ReadMembers(
                value, "fail",
                {{"field", [&](const YAML::Node& part) { every.fail_above = Part(part, "field"); }},
                 {"total",
                  [&](const YAML::Node& part) { section.fail_total = Part(part, "total"); }}});
          }}});
    section.fields.insert(section.fields.begin(), {FieldPath(), every});
    return section;
  }

  void ReadFields(const YAML::Node& node, Section& section) {
    yaml_.EachMember(
        node, "fields",
        [&](const std::string& text, const YAML::Node& at, const YAML::Node& value) {
          FieldSetting setting;
          ReadMembers(
              value, text,
              {{"ignore", [&](const YAML::Node& flag) { setting.ignore = Flag(flag, "ignore"); }},
               {"unordered",
                [&](const YAML::Node& flag) { setting.unordered = Flag(flag, "unordered"); }},
               {"absolute", Tolerance("absolute", setting.absolute)},
               {"relative", Tolerance("relative", setting.relative)},
               {"within", Within(setting.within)},
               {"text", [&](const YAML::Node& list) { ReadText(list, setting); }},
               {"fail", [&](const YAML::Node& part) { setting.fail_above = Part(part, "fail"); }}});
          if (auto path = Path(at, text)) section.fields.push_back({std::move(*path), setting});
        });
  }

  std::vector<std::string> ReadKey(const YAML::Node& node) {
    std::vector<std::string> key;
    yaml_.EachScalar(node, "key", [&](const YAML::Node& scalar) {
      const std::string text = scalar.IsScalar() ? scalar.Scalar() : "";
      const auto path = Path(scalar, text);
      if (!path) return;
      const bool plain = std::all_of(path->begin(), path->end(), [](const PathStep& step) {
        return step.kind == PathStep::Kind::kMember;
      });
      if (!plain) {
        return yaml_.Error(scalar, fmt::format("key: '{}': a key is one value, without '*'", text));
      }
      if (std::find(key.begin(), key.end(), text) != key.end()) {
        return yaml_.Error(scalar, fmt::format("key: '{}' stands here twice", text));
      }
      key.push_back(text);
    });
    if (key.size() > limits::kKeyFieldsMax) {
      yaml_.Error(node,
                  fmt::format("key: {} fields; at most {}", key.size(), limits::kKeyFieldsMax));
    }
    return key;
  }

  void ReadPaths(const YAML::Node& node, std::string_view what, const FieldSetting& setting,
                 Section& section) {
    yaml_.EachScalar(node, what, [&](const YAML::Node& scalar) {
      auto path = Path(scalar, scalar.IsScalar() ? scalar.Scalar() : "");
      if (path) section.fields.push_back({std::move(*path), setting});
    });
  }

  void ReadText(const YAML::Node& node, FieldSetting& setting) {
    yaml_.EachScalar(node, "text", [&](const YAML::Node& scalar) {
      const std::string word = scalar.IsScalar() ? scalar.Scalar() : "";
      if (word == "case") {
        setting.fold_case = true;
      } else if (word == "space") {
        setting.fold_space = true;
      } else if (word == "exact") {
        setting.fold_case = false;
        setting.fold_space = false;
      } else {
        static constexpr std::string_view kWords[] = {"case", "space", "exact"};
        yaml_.Error(scalar, fmt::format("text: unknown '{}'{}", word, Suggestion(word, kWords)));
      }
    });
  }

  void ReadKnown(const YAML::Node& node) {
    KnownDifference known;
    known.line = RuleYaml::LineOf(node);
    bool has_what = false;
    ReadMembers(node, "known",
                {{"output", [&](const YAML::Node& value) { known.output = Text(value, "output"); }},
                 {"field",
                  [&](const YAML::Node& value) {
                    known.field = Text(value, "field");
                    if (!known.field.empty()) Path(value, known.field);
                  }},
                 {"what", [&](const YAML::Node& value) { has_what = ReadWhat(value, known); }},
                 {"reason", [&](const YAML::Node& value) { known.reason = Text(value, "reason"); }},
                 {"until", [&](const YAML::Node& value) {
                    known.until = Text(value, "until");
                    const auto end = EndOfDay(known.until);
                    if (!end) yaml_.Error(value, "until: expected a day, such as 2027-01-31");
                    known.expired = end && now_ >= *end;
                  }}});
    if (has_what == !known.field.empty()) {
      yaml_.Error(node, "known: expected either 'field' or 'what'");
    }
    if (known.reason.empty()) yaml_.Error(node, "known: 'reason' is missing");
    if (known.until.empty()) {
      yaml_.Error(node, "known: 'until' is missing, the last day on which it is expected");
    }
    if (rules_.known_.size() == limits::kKnownMax) {
      return yaml_.Error(node, fmt::format("known: more than {}", limits::kKnownMax));
    }
    rules_.known_.push_back(std::move(known));
  }

  bool ReadWhat(const YAML::Node& node, KnownDifference& known) {
    using What = KnownDifference::What;
    static constexpr std::string_view kWords[] = {"missing", "extra", "order", "output"};
    static constexpr What kWhats[] = {What::kMissing, What::kExtra, What::kOrder, What::kOutput};
    const std::string word = Text(node, "what");
    for (size_t i = 0; i < std::size(kWords); ++i) {
      if (word == kWords[i]) known.what = kWhats[i];
    }
    if (known.what == What::kField) {
      yaml_.Error(node, fmt::format("what: unknown '{}'{}", word, Suggestion(word, kWords)));
    }
    return true;
  }

  Read Tolerance(std::string_view what, std::optional<double>& to) {
    return [this, what, &to](const YAML::Node& value) {
      const auto number = yaml_.Number(value, what);
      if (!number) return;
      if (*number < 0) return yaml_.Error(value, fmt::format("{}: expected 0 or more", what));
      to = static_cast<double>(*number);
    };
  }

  Read Within(std::optional<Duration>& to) {
    return [this, &to](const YAML::Node& value) {
      const auto duration = ParseDuration(value.IsScalar() ? value.Scalar() : "");
      if (!duration.ok()) {
        return yaml_.Error(value, "within: " + std::string(duration.status().message()));
      }
      to = *duration;
    };
  }

  // 0.1% or 0.001.
  std::optional<double> Part(const YAML::Node& node, std::string_view what) {
    const std::string text = node.IsScalar() ? node.Scalar() : "";
    const bool percent = text.ends_with('%');
    const auto number = ParseRuleNumber(percent ? text.substr(0, text.size() - 1) : text);
    const double part = number ? static_cast<double>(*number) / (percent ? 100 : 1) : -1;
    if (part >= 0 && part <= 1) return part;
    yaml_.Error(node,
                fmt::format("{}: expected a part of the records, such as 0.1% or 0.001", what));
    return std::nullopt;
  }

  std::optional<bool> Flag(const YAML::Node& node, std::string_view what) {
    return yaml_.Flag(node, what);
  }

  std::string Text(const YAML::Node& node, std::string_view what) {
    if (node.IsScalar() && !node.Scalar().empty()) return node.Scalar();
    yaml_.Error(node, fmt::format("{}: expected a text", what));
    return "";
  }

  std::optional<FieldPath> Path(const YAML::Node& at, const std::string& text) {
    auto path = ParseFieldPath(text);
    if (path.ok()) return *std::move(path);
    yaml_.Error(at, std::string(path.status().message()));
    return std::nullopt;
  }

  void Combine() {
    if (all_.minimum) rules_.minimum_ = *all_.minimum;
    rules_.all_ = CombineOutput("", nullptr);
    for (const auto& [name, section] : outputs_) {
      rules_.outputs_[name] = CombineOutput(name, &section);
    }
    for (const KnownDifference& known : rules_.known_) {
      // The rules of an output that only a known difference names are its own as well.
      if (known.output.empty() || rules_.outputs_.contains(known.output)) continue;
      rules_.outputs_[known.output] = CombineOutput(known.output, nullptr);
    }
  }

  OutputRules CombineOutput(const std::string& name, const Section* own) {
    OutputRules rules;
    FieldRulesBuilder fields;
    const int line = own != nullptr ? own->line : std::max(all_.line, 1);
    for (const Section* section : {static_cast<const Section*>(&all_), own}) {
      if (section == nullptr) continue;
      if (section->key) rules.key = *section->key;
      if (section->ordered) rules.ordered = *section->ordered;
      if (section == own && section->minimum) rules.minimum = *section->minimum;
      if (section->fail_total) rules.fail_total = *section->fail_total;
      for (const auto& [path, setting] : section->fields) fields.Set(path, setting);
    }
    if (rules.ordered && rules.key.empty()) {
      yaml_.Error(line, fmt::format("{}: 'ordered' needs a 'key': the order is that of the records "
                                    "of each key",
                                    name.empty() ? "all" : name));
    }
    for (size_t i = 0; i < rules.key.size(); ++i) {
      FieldSetting setting;
      setting.key_slot = static_cast<int16_t>(i);
      fields.Set(*ParseFieldPath(rules.key[i]), setting);
    }
    for (size_t i = 0; i < rules_.known_.size(); ++i) {
      const KnownDifference& known = rules_.known_[i];
      if (known.expired || (!known.output.empty() && known.output != name)) continue;
      ApplyKnown(known, static_cast<int>(i), fields, rules);
    }
    auto built = fields.Build();
    if (!built.ok()) {
      yaml_.Error(line, std::string(built.status().message()));
      return rules;
    }
    rules.fields = *std::move(built);
    for (const std::string& key : rules.key) {
      if (rules.fields.At(key).ignore) {
        yaml_.Error(line,
                    fmt::format("{}: the key '{}' is ignored", name.empty() ? "all" : name, key));
      }
    }
    return rules;
  }

  static void ApplyKnown(const KnownDifference& known, int index, FieldRulesBuilder& fields,
                         OutputRules& rules) {
    using What = KnownDifference::What;
    switch (known.what) {
      case What::kField: {
        FieldSetting setting;
        setting.known = static_cast<int16_t>(index);
        fields.Set(*ParseFieldPath(known.field), setting);
        break;
      }
      case What::kMissing:
        rules.known_missing = index;
        break;
      case What::kExtra:
        rules.known_extra = index;
        break;
      case What::kOrder:
        rules.known_order = index;
        break;
      case What::kOutput:
        rules.known_output = index;
        break;
    }
  }

  RuleYaml yaml_;
  const Timestamp now_;
  Section all_;
  std::map<std::string, Section> outputs_;
  ShadowRules rules_;
};

ShadowRules::ShadowRules() = default;

const OutputRules& ShadowRules::For(std::string_view output) const {
  const auto found = outputs_.find(output);
  return found == outputs_.end() ? all_ : found->second;
}

std::vector<std::string> ShadowRules::OutputNames() const {
  std::vector<std::string> names;
  for (const auto& [name, rules] : outputs_) names.push_back(name);
  return names;
}

StatusOr<std::shared_ptr<const ShadowRules>> ParseShadowRules(std::string_view yaml,
                                                              std::string_view file_name,
                                                              Timestamp now) {
  return ShadowRulesParser(file_name, now).Parse(yaml);
}

}  // namespace weir::shadow
