// PluginDeclaration: what a plugin says it will use, while it is created: the member of the events
// that it is keyed by, its states, its outputs beside the main one, its counters; and PluginSetup,
// which create() of operators/plugin_table.h is handed to say so.
//
// A stage is built by the declaration of one instance, and every later instance must declare the
// same: the indexes by which a plugin calls these things are positions here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/limits.h"
#include "core/schema.h"
#include "operators/plugin_table.h"

namespace weir {

inline WeirPluginBytes ToTableBytes(std::string_view text) { return {text.data(), text.size()}; }

// A plugin's own settings, by key.
using PluginSettings = std::map<std::string, std::string>;

// True for a name that a plugin, and anything that it declares, may have: letters, digits, '_' and
// '-', a letter or digit first, at most limits::kPluginNameBytesMax of them. It is no path,
// wherever it is put into one.
bool IsPluginName(std::string_view name);

// How a stage runs a plugin.
struct PluginOptions {
  // What one call with a batch, or a part of one, may take. A plugin in this process that takes
  // longer cannot be interrupted: it is counted, and told.
  Duration budget = limits::kPluginBatchBudget;

  // In a process of its own, which may crash, hang and leak at no cost but that of the events that
  // are to blame.
  bool isolate = false;
  Duration timeout = limits::kIsolatedTimeout;     // for one event; isolated only
  uint64_t memory = limits::kIsolatedMemoryBytes;  // that it may allocate; isolated only
};

struct PluginIdentity {
  std::string name;
  std::string version;
  // "plugin redact 1.2.0", as every message about it begins.
  std::string label() const { return "plugin " + name + " " + version; }
};

struct PluginDeclaration {
  enum class Key : uint8_t { kNone, kId, kTenant, kType };
  enum class ValueType : uint8_t { kBytes = 1, kInteger, kNumber };
  struct State {
    std::string name;
    ValueType type = ValueType::kBytes;
    Duration ttl = 0;
    bool operator==(const State&) const = default;
  };

  Key key = Key::kNone;
  std::vector<State> states;          // WeirPluginHost::get calls them by their index here
  std::vector<std::string> outputs;   // beside the main one: the first is output 1
  std::vector<std::string> counters;  // WeirPluginHost::count calls them by their index here
  bool operator==(const PluginDeclaration&) const = default;

  // The bytes of the event by which the plugin is keyed. REQUIRES: key is not kNone.
  std::string_view KeyOf(const Event& event) const;
  // As StageSpec has it: a text, and of which member. REQUIRES: as KeyOf.
  Schema DescribeKey() const;
};

// "key=tenant states=[seen:integer,last:bytes/2h] outputs=[alerts] counters=[sent]"; of what is not
// there, nothing.
std::string ToText(const PluginDeclaration& declaration);

// What create() is handed, and what it did with it. Used by one thread, for one call.
class PluginSetup : public WeirPluginSetup {
 public:
  // The settings outlive it.
  explicit PluginSetup(const PluginSettings& settings);
  PluginSetup(const PluginSetup&) = delete;
  PluginSetup& operator=(const PluginSetup&) = delete;

  // To be called when create() has returned: finds what is wrong with the whole.
  void Finish();

  // What is wrong with settings and declaration, a line each.
  const std::string& errors() const { return errors_; }
  PluginDeclaration& declaration() { return declaration_; }

 private:
  static PluginSetup& Of(const WeirPluginSetup* base);
  static void OnReject(const WeirPluginSetup* base, WeirPluginBytes error);
  static void OnKeyBy(const WeirPluginSetup* base, uint32_t member);
  static uint32_t OnState(const WeirPluginSetup* base, const WeirPluginState* state);
  static uint32_t OnOutput(const WeirPluginSetup* base, WeirPluginBytes name);
  static uint32_t OnCounter(const WeirPluginSetup* base, WeirPluginBytes name);

  void AddError(std::string_view error);
  // The name as text, after it was checked against what is declared already.
  std::string Name(WeirPluginBytes name, std::string_view what, size_t declared, size_t max,
                   bool twice);

  std::vector<WeirPluginSetting> list_;
  std::string errors_;
  PluginDeclaration declaration_;
};

}  // namespace weir
