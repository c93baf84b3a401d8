#include "operators/transforms/plugin_declaration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/check.h"
#include "core/limits.h"

namespace weir {
namespace {

std::string_view ToText(PluginDeclaration::Key key) {
  switch (key) {
    case PluginDeclaration::Key::kNone:
      break;
    case PluginDeclaration::Key::kId:
      return "id";
    case PluginDeclaration::Key::kTenant:
      return "tenant";
    case PluginDeclaration::Key::kType:
      return "type";
  }
  return "none";
}

std::string ToText(const PluginDeclaration::State& state) {
  using Type = PluginDeclaration::ValueType;
  return fmt::format("{}:{}{}", state.name,
                     state.type == Type::kInteger  ? "integer"
                     : state.type == Type::kNumber ? "number"
                                                   : "bytes",
                     state.ttl > 0 ? "/" + FormatDuration(state.ttl) : "");
}

bool Has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// As much of the bytes as a message has room for.
std::string_view Shown(WeirPluginBytes bytes) {
  if (bytes.data == nullptr) return "";
  return {bytes.data, std::min<uint64_t>(bytes.size, limits::kPluginErrorBytesMax)};
}

}  // namespace

bool IsPluginName(std::string_view name) {
  auto ok = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= limits::kPluginNameBytesMax &&
         std::isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), ok);
}

std::string_view PluginDeclaration::KeyOf(const Event& event) const {
  WEIR_CHECK(key != Key::kNone);
  return key == Key::kId ? event.id : key == Key::kTenant ? event.tenant : event.type;
}

Schema PluginDeclaration::DescribeKey() const {
  WEIR_CHECK(key != Key::kNone);
  return {.kind = Schema::Kind::kStruct,
          .fields = {{std::string(ToText(key)), {.kind = Schema::Kind::kString}}}};
}

std::string ToText(const PluginDeclaration& declaration) {
  std::string text;
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!text.empty()) text += ' ';
    text += fmt::format("{}={}", name, value);
  };
  if (declaration.key != PluginDeclaration::Key::kNone) {
    add("key", std::string(ToText(declaration.key)));
  }
  if (!declaration.states.empty()) {
    std::vector<std::string> states;
    for (const auto& state : declaration.states) states.push_back(ToText(state));
    add("states", fmt::format("[{}]", fmt::join(states, ",")));
  }
  if (!declaration.outputs.empty()) {
    add("outputs", fmt::format("[{}]", fmt::join(declaration.outputs, ",")));
  }
  if (!declaration.counters.empty()) {
    add("counters", fmt::format("[{}]", fmt::join(declaration.counters, ",")));
  }
  return text;
}

PluginSetup::PluginSetup(const PluginSettings& settings_by_key) : WeirPluginSetup{} {
  for (const auto& [key, value] : settings_by_key)
    list_.push_back({ToTableBytes(key), ToTableBytes(value)});
  settings = list_.data();
  setting_count = list_.size();
  reject = &OnReject;
  key_by = &OnKeyBy;
  state = &OnState;
  output = &OnOutput;
  counter = &OnCounter;
}

void PluginSetup::Finish() {
  const bool keyed = declaration_.key != PluginDeclaration::Key::kNone;
  if (!declaration_.states.empty() && !keyed) {
    AddError(
        fmt::format("state '{}': the plugin is keyed by nothing; name the member of its "
                    "events by which it is (KeyBy)",
                    declaration_.states[0].name));
  }
  if (keyed && declaration_.states.empty()) {
    AddError(fmt::format("it is keyed by {}, and has no state", ToText(declaration_.key)));
  }
}

// The host made it, and not const.
PluginSetup& PluginSetup::Of(const WeirPluginSetup* base) {
  return const_cast<PluginSetup&>(static_cast<const PluginSetup&>(*base));
}

void PluginSetup::AddError(std::string_view error) {
  if (errors_.size() >= limits::kPluginErrorBytesMax) return;
  if (!errors_.empty()) errors_ += '\n';
  errors_ += error.substr(0, limits::kPluginErrorBytesMax);
}

void PluginSetup::OnReject(const WeirPluginSetup* base, WeirPluginBytes error) {
  const std::string_view text = Shown(error);
  Of(base).AddError(text.empty() ? "it rejects a setting, and does not say why" : text);
}

void PluginSetup::OnKeyBy(const WeirPluginSetup* base, uint32_t member) {
  PluginSetup& setup = Of(base);
  PluginDeclaration::Key& key = setup.declaration_.key;
  if (member < WEIR_PLUGIN_KEY_ID || member > WEIR_PLUGIN_KEY_TYPE) {
    setup.AddError(fmt::format("it is keyed by an unknown member ({})", member));
  } else if (key != PluginDeclaration::Key::kNone) {
    setup.AddError("it is keyed twice");
  } else {
    key = static_cast<PluginDeclaration::Key>(member);
  }
}

std::string PluginSetup::Name(WeirPluginBytes bytes, std::string_view what, size_t declared,
                              size_t max, bool twice) {
  const std::string_view name = Shown(bytes);
  if (!IsPluginName(name)) {
    AddError(
        fmt::format("'{}' is no name of {}: 1 to {} letters, digits, '_' and '-', a letter or "
                    "digit first",
                    name, what, limits::kPluginNameBytesMax));
  } else if (twice) {
    AddError(fmt::format("it declares {} '{}' twice", what, name));
  } else if (declared == max) {
    AddError(fmt::format("it declares {} '{}', and may have {} at most", what, name, max));
  }
  return std::string(name);
}

uint32_t PluginSetup::OnState(const WeirPluginSetup* base, const WeirPluginState* declared) {
  PluginSetup& setup = Of(base);
  auto& states = setup.declaration_.states;
  const auto index = static_cast<uint32_t>(states.size());
  if (declared == nullptr) return setup.AddError("it declares a state at a null pointer"), index;
  const std::string_view name = Shown(declared->name);
  const bool twice =
      std::any_of(states.begin(), states.end(), [&](const auto& s) { return s.name == name; });
  PluginDeclaration::State state;
  state.name = setup.Name(declared->name, "a state", index, limits::kPluginStatesMax, twice);
  if (declared->type < WEIR_PLUGIN_TYPE_BYTES || declared->type > WEIR_PLUGIN_TYPE_NUMBER) {
    setup.AddError(fmt::format("state '{}' has an unknown type ({})", state.name, declared->type));
  }
  state.type = static_cast<PluginDeclaration::ValueType>(declared->type);
  state.ttl = declared->ttl_micros;
  if (state.ttl < 0) {
    setup.AddError(fmt::format("state '{}' has a negative time to live", state.name));
  }
  if (index < limits::kPluginStatesMax) states.push_back(std::move(state));
  return index;
}

uint32_t PluginSetup::OnOutput(const WeirPluginSetup* base, WeirPluginBytes name) {
  PluginSetup& setup = Of(base);
  auto& outputs = setup.declaration_.outputs;
  std::string text = setup.Name(name, "an output", outputs.size(), limits::kPluginOutputsMax,
                                Has(outputs, Shown(name)));
  if (outputs.size() < limits::kPluginOutputsMax) outputs.push_back(std::move(text));
  return static_cast<uint32_t>(outputs.size());
}

uint32_t PluginSetup::OnCounter(const WeirPluginSetup* base, WeirPluginBytes name) {
  PluginSetup& setup = Of(base);
  auto& counters = setup.declaration_.counters;
  const auto index = static_cast<uint32_t>(counters.size());
  std::string text =
      setup.Name(name, "a counter", index, limits::kPluginCountersMax, Has(counters, Shown(name)));
  if (index < limits::kPluginCountersMax) counters.push_back(std::move(text));
  return index;
}

}  // namespace weir
