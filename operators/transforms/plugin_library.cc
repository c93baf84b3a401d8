#include "operators/transforms/plugin_library.h"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/limits.h"

namespace weir {
namespace {

// The bytes as a file without a name, or an error. It stays open for good: the loader takes two
// files for one when it has seen their path before, and the path is made of the descriptor.
StatusOr<int> InMemoryFile(std::string_view name, std::string_view bytes) {
  const int fd = memfd_create(fmt::format("weir-plugin-{}", name).c_str(), MFD_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "cannot make a file in memory for the plugin");
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const Status status = ErrnoStatus(errno, "cannot write the plugin to a file in memory");
      close(fd);
      return status;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return fd;
}

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

PluginInstance::PluginInstance(PluginInstance&& other) noexcept
    : table_(other.table_),
      instance_(std::exchange(other.instance_, nullptr)),
      declaration_(std::move(other.declaration_)) {}

PluginInstance& PluginInstance::operator=(PluginInstance&& other) noexcept {
  std::swap(table_, other.table_);
  std::swap(instance_, other.instance_);
  std::swap(declaration_, other.declaration_);
  return *this;
}

PluginInstance::~PluginInstance() {
  if (instance_ != nullptr) table_->destroy(instance_);
}

PluginLibrary::PluginLibrary(const WeirPluginTable* table)
    : table_(table), identity_{table->name, table->version}, label_(identity_.label()) {}

StatusOr<std::shared_ptr<const PluginLibrary>> PluginLibrary::Load(std::string_view name,
                                                                   const std::string& path,
                                                                   std::string_view bytes) {
  if (!IsWholeElf(bytes)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no plugin: it is no shared library, or only a part of one", path));
  }
  WEIR_ASSIGN_OR_RETURN(const int fd, InMemoryFile(name, bytes));
  const std::string file = fmt::format("/proc/self/fd/{}", fd);
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    std::string why = dlerror();
    if (why.starts_with(file)) why.replace(0, file.size(), "the loader says");
    close(fd);
    return absl::FailedPreconditionError(fmt::format("{} cannot be loaded: {}", path, why));
  }
  auto entry = reinterpret_cast<const WeirPluginTable* (*)()>(dlsym(handle, "weir_plugin_entry"));
  const WeirPluginTable* table = entry == nullptr ? nullptr : entry();
  if (table == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no plugin: it defines no WEIR_PLUGIN", path));
  }
  if (table->abi != WEIR_PLUGIN_ABI || !SizesFit(*table)) {
    return absl::FailedPreconditionError(
        fmt::format("{} was built against another version of Weir (plugin ABI {}); this one has "
                    "plugin ABI {}: build it again with this version's operators/plugin.h",
                    path, table->abi, WEIR_PLUGIN_ABI));
  }
  if (table->create == nullptr || table->process == nullptr || table->destroy == nullptr ||
      table->name == nullptr || !IsVersion(table->version)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no plugin that can be used: its table has no name, no version of 1 to "
                    "{} printable characters, or lacks a function",
                    path, limits::kPluginNameBytesMax));
  }
  if (table->name != name) {
    return absl::FailedPreconditionError(fmt::format(
        "{} has the name of another plugin: it says it is '{}'; name the file {}, or ask for '{}'",
        path, table->name, PluginFileName(table->name), table->name));
  }
  return std::shared_ptr<const PluginLibrary>(new PluginLibrary(table));
}

StatusOr<PluginInstance> PluginLibrary::Create(const PluginSettings& settings) const {
  PluginSetup setup(settings);
  void* instance = nullptr;
  const int32_t code = table_->create(&setup, &instance);
  PluginInstance created;
  if (code == WEIR_PLUGIN_OK && instance != nullptr) {
    setup.Finish();
    created = PluginInstance(table_, instance, std::move(setup.declaration()));
    if (setup.errors().empty()) return created;
  }
  if (setup.errors().empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: it cannot be set up (code {}), and does not say why", label_, code));
  }
  return absl::InvalidArgumentError(fmt::format("{}: {}", label_, setup.errors()));
}

}  // namespace weir
