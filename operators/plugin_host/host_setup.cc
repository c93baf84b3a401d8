#include "operators/plugin_host/host_setup.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <vector>

#include "operators/plugin_host/recorder.h"

namespace weir::plugin_host {
namespace {

uint32_t CountThreads() {
  DIR* folder = opendir("/proc/self/task");
  if (folder == nullptr) return 1;
  uint32_t threads = 0;
  while (const dirent* entry = readdir(folder)) threads += entry->d_name[0] != '.';
  closedir(folder);
  return threads;
}

std::string_view ToView(WeirPluginBytes bytes) {
  return bytes.data == nullptr ? std::string_view() : std::string_view(bytes.data, bytes.size);
}

// What create() is handed. What it declares is recorded as it is; Weir knows what is wrong with it.
struct Setup : WeirPluginSetup {
  Recorder* recorder = nullptr;
  uint32_t states_declared = 0, outputs_declared = 0, counters_declared = 0;
};
// The host made it, and not const.
Setup& Of(const WeirPluginSetup* base) {
  return const_cast<Setup&>(static_cast<const Setup&>(*base));
}

void OnReject(const WeirPluginSetup* base, WeirPluginBytes error) {
  Of(base).recorder->AddText(Op::kReject, ToView(error));
}

void OnKeyBy(const WeirPluginSetup* base, uint32_t member) {
  Recorder& recorder = *Of(base).recorder;
  if (recorder.HasRoom(0)) recorder.Add(Op::kKeyBy, member);
}

uint32_t OnState(const WeirPluginSetup* base, const WeirPluginState* state) {
  Setup& setup = Of(base);
  Recorder& recorder = *setup.recorder;
  if (state == nullptr) {
    if (recorder.HasRoom(0)) recorder.Add(Op::kNullState);
    return setup.states_declared;
  }
  const std::string_view name = ToView(state->name).substr(0, limits::kPluginErrorBytesMax);
  if (recorder.HasRoom(sizeof(StateFacts) + name.size())) {
    const StateFacts facts{state->type, 0, state->ttl_micros};
    recorder.Add(Op::kState, static_cast<uint32_t>(name.size()));
    recorder.Put(&facts, sizeof(facts));
    recorder.Put(name.data(), name.size());
    recorder.Pad(name.size());
  }
  return setup.states_declared++;
}

uint32_t OnOutput(const WeirPluginSetup* base, WeirPluginBytes name) {
  Of(base).recorder->AddText(Op::kOutput, ToView(name));
  return ++Of(base).outputs_declared;
}

uint32_t OnCounter(const WeirPluginSetup* base, WeirPluginBytes name) {
  Of(base).recorder->AddText(Op::kCounter, ToView(name));
  return Of(base).counters_declared++;
}

std::string_view Bounded(const char* text) {
  if (text == nullptr) return {};
  return {text, strnlen(text, limits::kPluginNameBytesMax + 1)};
}

// Runs create() and records what it does.
ReadyPlugin Create(const Areas& areas, const WeirPluginTable& table, Recorder& recorder,
                   Record& record) {
  std::vector<WeirPluginSetting> settings;
  const char* const base = areas.request + kHeaderBytes;
  const auto* extents = reinterpret_cast<const Extent*>(base);
  for (uint32_t i = 0; i < areas.request_header().setting_count; ++i) {
    settings.push_back({ToBytes(base, extents[2 * i]), ToBytes(base, extents[2 * i + 1])});
  }
  Setup setup{};
  setup.settings = settings.data();
  setup.setting_count = settings.size();
  setup.reject = &OnReject;
  setup.key_by = &OnKeyBy;
  setup.state = &OnState;
  setup.output = &OnOutput;
  setup.counter = &OnCounter;
  setup.recorder = &recorder;
  ReadyPlugin ready;
  try {
    record.code = table.create(&setup, &ready.instance);
  } catch (const std::exception& e) {
    recorder.AddText(Op::kReject, e.what());
  } catch (...) {
    recorder.AddText(Op::kReject, "it let an exception out that is no std::exception");
  }
  if (AllocatedBytes() > MemoryIsShortAt(areas.request_header().memory_max)) {
    record.flags |= kMemoryIsShort;
  }
  if (record.code != WEIR_PLUGIN_OK) ready.instance = nullptr;
  if (record.code == WEIR_PLUGIN_OK && ready.instance == nullptr) record.flags |= kNoInstance;
  ready.states = setup.states_declared;
  return ready;
}

}  // namespace

uint64_t AllocatedBytes() {
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[256];
  const ssize_t size = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (size <= 0) return 0;
  text[size] = 0;
  unsigned long long pages = 0;
  if (std::sscanf(text, "%*u %*u %*u %*u %*u %llu", &pages) != 1) return 0;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

LoadedPlugin LoadPlugin(const char* file) {
  LoadedPlugin plugin;
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    plugin.error = dlerror();
    return plugin;
  }
  auto entry = reinterpret_cast<const WeirPluginTable* (*)()>(dlsym(library, "weir_plugin_entry"));
  if (entry != nullptr) plugin.table = entry();
  plugin.threads = CountThreads();
  return plugin;
}

ReadyPlugin SetUp(const Areas& areas, const LoadedPlugin& plugin) {
  Recorder recorder;
  recorder.Begin(areas.answer + kHeaderBytes, areas.answer + kSlotsOffset);
  Record record;
  record.kind = RecordKind::kSetup;
  record.code = WEIR_PLUGIN_FAILED;
  ReadyPlugin ready;
  if (plugin.error != nullptr) recorder.AddText(Op::kText, plugin.error);
  if (plugin.table != nullptr) {
    const WeirPluginTable& table = *plugin.table;
    TableFacts facts;
    facts.abi = table.abi;
    facts.threads = plugin.threads;
    std::string_view name, version;
    bool fits = false;
    if (table.abi == WEIR_PLUGIN_ABI) {
      const uint32_t sizes[] = {table.table_bytes, table.event_bytes, table.output_bytes,
                                table.call_bytes,  table.host_bytes,  table.setup_bytes,
                                table.state_bytes};
      std::memcpy(facts.sizes, sizes, sizeof(sizes));
      const uint32_t own[] = {sizeof(WeirPluginTable),  sizeof(WeirPluginEvent),
                              sizeof(WeirPluginOutput), sizeof(WeirPluginCall),
                              sizeof(WeirPluginHost),   sizeof(WeirPluginSetup),
                              sizeof(WeirPluginState)};
      fits = std::memcmp(sizes, own, sizeof(own)) == 0;
    }
    if (fits) {
      facts.functions =
          table.create != nullptr && table.process != nullptr && table.destroy != nullptr;
      facts.has_name = table.name != nullptr;
      name = Bounded(table.name);
      version = Bounded(table.version);
    }
    facts.name_bytes = static_cast<uint32_t>(name.size());
    facts.version_bytes = static_cast<uint32_t>(version.size());
    recorder.Add(Op::kTable);
    recorder.Put(&facts, sizeof(facts));
    recorder.Put(name.data(), name.size());
    recorder.Put(version.data(), version.size());
    recorder.Pad(sizeof(facts) + name.size() + version.size());
    if (facts.functions != 0) ready = Create(areas, table, recorder, record);
  }
  recorder.Finish(record);
  return ready;
}

}  // namespace weir::plugin_host
