// The file of a plugin: what is looked at before its code may run, and what is wrong with it; the
// same in this process (plugin_library.h) and in one of its own (isolated_plugin.h).
#pragma once

#include <string>
#include <string_view>

#include "core/status.h"
#include "operators/plugin_table.h"

namespace weir {

// "libredact.so".
std::string PluginFileName(std::string_view name);

// The bytes as a file without a name; its descriptor. `path` is where they were read, for messages,
// here and below. FailedPrecondition: they are no shared library, or not all of one.
StatusOr<int> PluginInMemory(std::string_view name, const std::string& path,
                             std::string_view bytes);

// FailedPrecondition: it is no plugin, one for another version of Weir, or not the one that was
// asked for. Nothing but `abi` is read of a table of another ABI.
Status CheckPluginTable(std::string_view name, const std::string& path,
                        const WeirPluginTable& table);

// Errors: dlopen(`file`) said `why`; there is no entry function, or it returned nothing.
Status CannotLoadPlugin(const std::string& path, std::string_view file, std::string why);
Status NoPluginEntry(const std::string& path);

}  // namespace weir
