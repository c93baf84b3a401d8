#include "operators/transforms/plugin_library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <utility>

namespace weir {

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
  WEIR_ASSIGN_OR_RETURN(const int fd, PluginInMemory(name, path, bytes));
  const std::string file = fmt::format("/proc/self/fd/{}", fd);
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const Status status = CannotLoadPlugin(path, file, dlerror());
    close(fd);
    return status;
  }
  auto entry = reinterpret_cast<const WeirPluginTable* (*)()>(dlsym(handle, "weir_plugin_entry"));
  const WeirPluginTable* table = entry == nullptr ? nullptr : entry();
  if (table == nullptr) return NoPluginEntry(path);
  WEIR_RETURN_IF_ERROR(CheckPluginTable(name, path, *table));
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
