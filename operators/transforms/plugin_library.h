// PluginLibrary: a plugin (operators/plugin.h) loaded into this process, and instances of it.
//
// Loaded is exactly what was hashed: the bytes that the job carries are put into a file in memory
// that has no name, and that is loaded, never the file they were read from, which may have changed
// since. A library is never unloaded: code, exceptions and rows may live as long as the process.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/status.h"
#include "operators/plugin_table.h"

namespace weir {

// True for a name that a plugin may have: letters, digits, '_' and '-', a letter or digit first, at
// most limits::kPluginNameBytesMax of them. It is no path, wherever it is put into one.
bool IsPluginName(std::string_view name);
// "libredact.so".
std::string PluginFileName(std::string_view name);

// A plugin's own settings, by key.
using PluginSettings = std::map<std::string, std::string>;

// Owns an instance; called from one thread at a time. Keeps nothing else alive.
class PluginInstance {
 public:
  PluginInstance() = default;
  PluginInstance(const WeirPluginTable* table, void* instance)
      : table_(table), instance_(instance) {}
  PluginInstance(PluginInstance&& other) noexcept;
  PluginInstance& operator=(PluginInstance&& other) noexcept;
  ~PluginInstance();

  // As WeirPluginTable::process. REQUIRES: not empty.
  int32_t Process(WeirPluginCall* call) { return table_->process(instance_, call); }

 private:
  const WeirPluginTable* table_ = nullptr;
  void* instance_ = nullptr;
};

// Immutable; any thread may use it.
class PluginLibrary {
 public:
  // `path` is where the bytes were read, for messages; `name` the plugin that was asked for.
  // FailedPrecondition: the bytes are no plugin, one for another version of Weir, or one of another
  // name.
  static StatusOr<std::shared_ptr<const PluginLibrary>> Load(std::string_view name,
                                                             const std::string& path,
                                                             std::string_view bytes);

  std::string_view name() const { return table_->name; }
  std::string_view version() const { return table_->version; }
  // "plugin redact 1.2.0", as every message about it begins.
  const std::string& label() const { return label_; }

  // InvalidArgument has all that the plugin says is wrong with the settings, a line each.
  StatusOr<PluginInstance> Create(const PluginSettings& settings) const;

 private:
  explicit PluginLibrary(const WeirPluginTable* table);

  const WeirPluginTable* const table_;
  const std::string label_;
};

}  // namespace weir
