#include "operators/transforms/plugin_file.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/limits.h"
#include "core/shared_memory.h"

namespace weir {
namespace {

// Whether all that the loader will map is there. It trusts the file's table of segments, and a file
// that is cut short (a copy that is not done) would end the process where it touches what is
// missing.
bool IsWholeElf(std::string_view bytes) {
  Elf64_Ehdr header;
  if (bytes.size() < sizeof(header)) return false;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > bytes.size() ||
      header.e_phnum > (bytes.size() - header.e_phoff) / sizeof(Elf64_Phdr)) {
    return false;
  }
  for (size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
    if (segment.p_type != PT_LOAD) continue;
    if (segment.p_offset > bytes.size() || segment.p_filesz > bytes.size() - segment.p_offset) {
      return false;
    }
  }
  return true;
}

bool SizesFit(const WeirPluginTable& table) {
  return table.table_bytes == sizeof(WeirPluginTable) &&
         table.event_bytes == sizeof(WeirPluginEvent) &&
         table.output_bytes == sizeof(WeirPluginOutput) &&
         table.call_bytes == sizeof(WeirPluginCall) && table.host_bytes == sizeof(WeirPluginHost) &&
         table.setup_bytes == sizeof(WeirPluginSetup) &&
         table.state_bytes == sizeof(WeirPluginState);
}

bool IsVersion(const char* text) {
  if (text == nullptr) return false;
  const size_t size = strnlen(text, limits::kPluginNameBytesMax + 1);
  return size > 0 && size <= limits::kPluginNameBytesMax &&
         std::all_of(text, text + size, [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::string PluginFileName(std::string_view name) { return fmt::format("lib{}.so", name); }

StatusOr<int> PluginInMemory(std::string_view name, const std::string& path,
                             std::string_view bytes) {
  if (!IsWholeElf(bytes)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no plugin: it is no shared library, or only a part of one", path));
  }
  // It stays open for good: the loader takes two files for one when it has seen their path before,
  // and the path is made of the descriptor.
  return FileInMemory(fmt::format("weir-plugin-{}", name), bytes);
}

Status CheckPluginTable(std::string_view name, const std::string& path,
                        const WeirPluginTable& table) {
  if (table.abi == WEIR_PLUGIN_ABI && !SizesFit(table)) {
    return absl::FailedPreconditionError(fmt::format(
        "{} was built with other headers than this Weir, though both have plugin ABI {}: the sizes "
        "of what they share differ; build it again with this version's operators/plugin.h",
        path, WEIR_PLUGIN_ABI));
  }
  if (table.abi != WEIR_PLUGIN_ABI) {
    return absl::FailedPreconditionError(
        fmt::format("{} was built against another version of Weir (plugin ABI {}); this one has "
                    "plugin ABI {}: build it again with this version's operators/plugin.h",
                    path, table.abi, WEIR_PLUGIN_ABI));
  }
  if (table.create == nullptr || table.process == nullptr || table.destroy == nullptr ||
      table.name == nullptr || !IsVersion(table.version)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no plugin that can be used: its table has no name, no version of 1 to "
                    "{} printable characters, or lacks a function",
                    path, limits::kPluginNameBytesMax));
  }
  if (table.name != name) {
    return absl::FailedPreconditionError(fmt::format(
        "{} has the name of another plugin: it says it is '{}'; name the file {}, or ask for '{}'",
        path, table.name, PluginFileName(table.name), table.name));
  }
  return absl::OkStatus();
}

Status CannotLoadPlugin(const std::string& path, std::string_view file, std::string why) {
  if (why.starts_with(file)) why.replace(0, file.size(), "the loader says");
  return absl::FailedPreconditionError(fmt::format("{} cannot be loaded: {}", path, why));
}

Status NoPluginEntry(const std::string& path) {
  return absl::FailedPreconditionError(
      fmt::format("{} is no plugin: it defines no WEIR_PLUGIN", path));
}

}  // namespace weir
