// The host: the process in which an isolated plugin runs. It takes requests from shared memory,
// calls the plugin with one event at a time and records what it called (protocol.h). It ends by
// being killed.
#pragma once

#include "operators/plugin_host/protocol.h"
#include "operators/plugin_table.h"

namespace weir::plugin_host {

inline WeirPluginBytes ToBytes(const char* base, Extent extent) {
  return {base + extent.offset, extent.size};
}

struct Areas {
  const char* request = nullptr;
  char* answer = nullptr;

  const RequestHeader& request_header() const {
    return *reinterpret_cast<const RequestHeader*>(request);
  }
  AnswerHeader& answer_header() const { return *reinterpret_cast<AnswerHeader*>(answer); }
  void Ring() const;  // the bell
};

// A plugin as dlopen() gave it. `error` is the loader's, null where it worked.
struct LoadedPlugin {
  const WeirPluginTable* table = nullptr;
  const char* error = nullptr;
  uint32_t threads = 1;  // of the process when it was loaded
};
// `file` is a path.
LoadedPlugin LoadPlugin(const char* file);

// Sets up an instance and records how that went; then, unless it only was to be checked, serves
// requests for ever. Returns the exit code. `number` is the host's (Command::host).
int RunHost(const Areas& areas, const LoadedPlugin& plugin, uint32_t number, bool check_only);

}  // namespace weir::plugin_host
