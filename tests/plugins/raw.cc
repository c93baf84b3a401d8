// A plugin that fills in the table by hand and breaks its rules, as the type of an event says.
// Built several times, with other tables, by what is defined: see CMakeLists.txt beside it.
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "operators/plugin_table.h"

#ifndef RAW_NAME
#define RAW_NAME "raw"
#endif
#ifndef RAW_ABI
#define RAW_ABI WEIR_PLUGIN_ABI
#endif
#ifndef RAW_CALL_BYTES
#define RAW_CALL_BYTES sizeof(WeirPluginCall)
#endif
#ifndef RAW_VERSION
#define RAW_VERSION "1"
#endif

namespace {

[[maybe_unused]] int32_t Create(const WeirPluginSetup* setup, void** instance) {
  static int something;
  *instance = &something;
  for (uint64_t i = 0; i < setup->setting_count; ++i) {
    const WeirPluginBytes key = setup->settings[i].key;
    const std::string_view name(key.data, key.size);
    if (name == "null") *instance = nullptr;
    if (name == "null-error") setup->reject(setup, {nullptr, 100});
    if (name == "code") return 9;
  }
  return WEIR_PLUGIN_OK;
}

[[maybe_unused]] void Destroy(void*) {}

[[maybe_unused]] int32_t Process(void*, WeirPluginCall* call) {
  const WeirPluginHost& host = *call->host;
  for (uint32_t i = call->first; i < call->rows && call->stop == 0; ++i) {
    __atomic_store_n(call->row, i, __ATOMIC_RELAXED);
    const WeirPluginBytes type = call->events[i].type;
    const std::string_view act(type.data, type.size);
    WeirPluginOutput output{};
    if (act == "null-output") {
      host.emit(call, nullptr);
    } else if (act == "null-payload") {
      output.has = WEIR_PLUGIN_HAS_PAYLOAD;
      output.payload = {nullptr, 10};
      host.emit(call, &output);
    } else if (act == "null-tenant") {
      output.has = WEIR_PLUGIN_HAS_TENANT;
      output.tenant = {nullptr, 10};
      host.emit(call, &output);
    } else if (act == "no-payload") {
      output.has = WEIR_PLUGIN_HAS_PAYLOAD;
      host.emit(call, &output);
    } else if (act == "unknown-members") {
      output.has = 1u << 20;
      host.emit(call, &output);
    } else if (act == "null-error") {
      host.fail(call, {nullptr, 100});
    } else if (act == "goes-on-after-failing") {
      host.fail(call, {"the first reason", 16});
      host.keep(call);
      host.fail(call, {"another", 7});
    } else if (act == "unknown-code") {
      host.keep(call);
      return 77;
    } else if (act == "failed-silently") {
      host.keep(call);
      return WEIR_PLUGIN_FAILED;
    } else if (act == "returns-early") {
      host.keep(call);
      return WEIR_PLUGIN_OK;
    } else if (act == "row-beyond") {
      *call->row = 1u << 30;
      host.keep(call);
      return WEIR_PLUGIN_OK;
    } else if (act == "row-back") {
      *call->row = 0;
      host.keep(call);
    } else if (act == "state") {
      WeirPluginBytes value{};
      uint32_t found = 0;
      host.get(call, 0, &value, &found);
    } else if (act == "count") {
      host.count(call, 0, 1);
    } else if (act == "throws-out") {
      throw std::runtime_error("over the boundary");
    } else if (act == "throws-int-out") {
      throw 1;
    } else if (act != "drop") {
      host.keep(call);
    }
  }
  return WEIR_PLUGIN_OK;
}

}  // namespace

#ifndef RAW_NO_ENTRY
extern "C" __attribute__((visibility("default"))) const WeirPluginTable* weir_plugin_entry(void) {
#ifdef RAW_NULL_TABLE
  return nullptr;
#else
  static const WeirPluginTable table = {RAW_ABI,
                                        sizeof(WeirPluginTable),
                                        sizeof(WeirPluginEvent),
                                        sizeof(WeirPluginOutput),
                                        RAW_CALL_BYTES,
                                        sizeof(WeirPluginHost),
                                        sizeof(WeirPluginSetup),
                                        sizeof(WeirPluginState),
                                        RAW_NAME,
                                        RAW_VERSION,
                                        Create,
                                        Process,
                                        Destroy};
  return &table;
#endif
}
#endif
