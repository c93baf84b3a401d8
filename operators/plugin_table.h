// The C table between Weir and a plugin: what crosses the boundary, and nothing else does. Plugins
// in C++ include operators/plugin.h, which fills it in; this header is for its reader, for the
// engine, and for other languages.
//
// A plugin is a shared object that exports
//
//   const WeirPluginTable* weir_plugin_entry(void);
//
// Order of calls: weir_plugin_entry once; then for each instance create, process any number of
// times, destroy. An instance is called by one thread at a time; several instances live in one
// process at once, and create may be called by several threads at once. One more instance is made,
// and destroyed, to check the settings before the job starts.
//
// No call lets an exception out, in either direction. Bytes are a pointer and a length, of any
// content, and belong to whoever made them: what the host hands over lives until the call that
// handed it over returns, and what a plugin hands over is copied before the host function returns.
//
// Any change of this file that a plugin built before could notice raises WEIR_PLUGIN_ABI; `abi`
// stays the first member of the table in every version. The sizes are a second guard.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PLUGIN_ABI 1u

// What calls return, in both directions. Any other code counts as a failure, and is named in its
// message.
#define WEIR_PLUGIN_OK 0
#define WEIR_PLUGIN_FAILED 1

typedef struct WeirPluginBytes {
  const char* data;  // null only where size is 0
  uint64_t size;
} WeirPluginBytes;

// An event as it reaches the plugin.
typedef struct WeirPluginEvent {
  WeirPluginBytes id;
  WeirPluginBytes tenant;   // empty where it has none
  WeirPluginBytes type;     // likewise
  WeirPluginBytes payload;  // the line: one JSON object, without the line feed
  int64_t time;             // microseconds since 1970-01-01T00:00:00Z
  int64_t priority;
} WeirPluginEvent;

// Which members of a WeirPluginOutput are set.
#define WEIR_PLUGIN_HAS_PAYLOAD 1u
#define WEIR_PLUGIN_HAS_ID 2u
#define WEIR_PLUGIN_HAS_TENANT 4u
#define WEIR_PLUGIN_HAS_TYPE 8u
#define WEIR_PLUGIN_HAS_TIME 16u
#define WEIR_PLUGIN_HAS_PRIORITY 32u

// An event that leaves the plugin. It begins as the event at hand. A payload replaces the line, and
// the fields that the job reads from lines are read from it; then the other members that are set
// replace theirs.
typedef struct WeirPluginOutput {
  uint32_t has;  // WEIR_PLUGIN_HAS_...
  uint32_t reserved;
  WeirPluginBytes payload;
  WeirPluginBytes id;
  WeirPluginBytes tenant;
  WeirPluginBytes type;
  int64_t time;
  int64_t priority;
} WeirPluginOutput;

struct WeirPluginCall;

// What a plugin may call, during process() and on its thread only. Everything is about the event
// whose index was published last. When one of them does not return WEIR_PLUGIN_OK the event has
// failed, and what it emitted is dropped: go on with the next one.
typedef struct WeirPluginHost {
  // The event goes on as it came, byte for byte.
  int32_t (*keep)(struct WeirPluginCall* call);
  int32_t (*emit)(struct WeirPluginCall* call, const WeirPluginOutput* output);
  // The event has failed, for the reason given: it becomes a dead letter. Always returns
  // WEIR_PLUGIN_FAILED.
  int32_t (*fail)(struct WeirPluginCall* call, WeirPluginBytes error);
} WeirPluginHost;

// One call of process(). Owned by the host.
typedef struct WeirPluginCall {
  const WeirPluginHost* host;
  const WeirPluginEvent* events;
  uint32_t first;  // the events to process are [first, rows) of `events`
  uint32_t rows;
  uint32_t*
      row;  // the plugin stores the index of an event here, atomically, before it begins with it
  // Set by the host: return after the event at hand; the rest comes in another call.
  uint32_t stop;
  uint32_t reserved;
} WeirPluginCall;

typedef struct WeirPluginSetting {
  WeirPluginBytes key;
  WeirPluginBytes value;
} WeirPluginSetting;

typedef struct WeirPluginSetup {
  const WeirPluginSetting* settings;
  uint64_t setting_count;
  // One thing that is wrong with the settings; may be called for each. create() then returns
  // WEIR_PLUGIN_FAILED.
  void (*reject)(const struct WeirPluginSetup* setup, WeirPluginBytes error);
} WeirPluginSetup;

typedef struct WeirPluginTable {
  uint32_t abi;  // WEIR_PLUGIN_ABI
  // The sizes of the structs above, as the plugin saw them.
  uint32_t table_bytes;
  uint32_t event_bytes;
  uint32_t output_bytes;
  uint32_t call_bytes;
  uint32_t host_bytes;
  uint32_t setup_bytes;
  uint32_t reserved;
  const char* name;     // the one it is found by: lib<name>.so
  const char* version;  // the plugin's own, for messages and the job's identity
  int32_t (*create)(const WeirPluginSetup* setup, void** instance);
  // WEIR_PLUGIN_OK: all events were processed, or the host has asked to stop. Otherwise the event
  // published last has failed, those before it have not, and those behind it come in another call.
  int32_t (*process)(void* instance, WeirPluginCall* call);
  void (*destroy)(void* instance);
} WeirPluginTable;

#ifdef __cplusplus
}
#endif
