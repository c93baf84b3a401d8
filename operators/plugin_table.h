// The C table between Weir and a plugin: what crosses the boundary, and nothing else does. Plugins
// in C++ include operators/plugin.h, which fills it in; this header is for its reader, for the
// engine, and for other languages.
//
// A plugin is a shared object that exports
//
//   const WeirPluginTable* weir_plugin_entry(void);
//
// Order of calls
//
//   weir_plugin_entry                    once for each process that loads the plugin
//   create                               for each instance. While it runs the plugin reads its
//                                        settings and declares what it will use, by the functions
//                                        of WeirPluginSetup: key_by, state, output, counter
//   process                              any number of times, with a part of a batch each
//     for each event, in order:
//       store its index in *call->row    the event before it is settled by this
//       get, put, remove, keep, emit,    in any order and number, about this event
//       count, fail
//     return                             the last event is settled by this
//   destroy                              last, unless the process ends first
//
// Settling an event is all or nothing. If no host function refused a call for it, fail() was not
// called and process() did not return a failure at it, its outputs go on, its writes to states and
// its counts are applied, together and in the order of the events. Else it becomes a dead letter,
// with the first reason, and neither outputs nor writes nor counts of it are left behind. Whatever
// is wrong is told by the host function that was called with it, so that a settled event never
// fails later; an event sees the writes of those settled before it, and its own.
//
// One more instance is made, and destroyed, to check the settings before the job starts and to
// learn the declarations; every later instance must declare the same, in the same order. An
// instance is called by one thread at a time; several instances live in one process at once, and
// create may be called by several threads at once.
//
// State. A plugin that declares a state is keyed by one member of the event (key_by): all events
// with the same bytes there, the empty ones included, meet in one instance, in order. A state holds
// at most one value for each key, and an event reads and writes the values of its own key only, of
// the member as the event came to the plugin. States are part of checkpoints; an instance's own
// memory is not. The keys of a call are known before it begins: they are that member of events
// [first, rows). So a host in another process is sent the values of all declared states for these
// keys with the call, serves get, put and remove from them, and sends the writes of each settled
// event back with its outputs.
//
// No call lets an exception out, in either direction. Bytes are a pointer and a length, of any
// content, and belong to whoever made them: what the host hands over lives until the call that
// handed it over returns, if not said otherwise, and what a plugin hands over is copied before the
// host function returns.
//
// Any change of this file that a plugin built before could notice raises WEIR_PLUGIN_ABI; `abi`
// stays the first member of the table in every version. The sizes are a second guard.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PLUGIN_ABI 2u

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
// replace theirs. With none set the event goes on as it came, byte for byte.
typedef struct WeirPluginOutput {
  uint32_t has;     // WEIR_PLUGIN_HAS_...
  uint32_t output;  // 0: the main one; else what WeirPluginSetup::output returned
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
// failed: go on with the next one. `state` and `counter` are what the functions of WeirPluginSetup
// returned.
typedef struct WeirPluginHost {
  // The event goes on by the main output as it came, byte for byte.
  int32_t (*keep)(struct WeirPluginCall* call);
  int32_t (*emit)(struct WeirPluginCall* call, const WeirPluginOutput* output);
  // The event has failed, for the reason given: it becomes a dead letter. Always returns
  // WEIR_PLUGIN_FAILED.
  int32_t (*fail)(struct WeirPluginCall* call, WeirPluginBytes error);

  // The state's value for the key of the event, in the encoding of its type; *found is 0, and
  // *value empty, where there is none. The bytes live until the next get, put or remove, or until
  // another event is published.
  int32_t (*get)(struct WeirPluginCall* call, uint32_t state, WeirPluginBytes* value,
                 uint32_t* found);
  int32_t (*put)(struct WeirPluginCall* call, uint32_t state, WeirPluginBytes value);
  int32_t (*remove)(struct WeirPluginCall* call, uint32_t state);

  // Adds n to a counter of the plugin's own.
  int32_t (*count)(struct WeirPluginCall* call, uint32_t counter, uint64_t n);
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

// By which member of an event a plugin is keyed.
#define WEIR_PLUGIN_KEY_ID 1u
#define WEIR_PLUGIN_KEY_TENANT 2u
#define WEIR_PLUGIN_KEY_TYPE 3u

// What a state's values are, and how they cross this boundary. Another type under an old name is
// refused at a restore.
#define WEIR_PLUGIN_TYPE_BYTES 1u    // any bytes
#define WEIR_PLUGIN_TYPE_INTEGER 2u  // an int64_t: 8 bytes as in memory
#define WEIR_PLUGIN_TYPE_NUMBER 3u   // a double: 8 bytes as in memory

typedef struct WeirPluginState {
  WeirPluginBytes name;  // the identity of its values in checkpoints
  uint32_t type;         // WEIR_PLUGIN_TYPE_...
  uint32_t reserved;
  // A value that was not written for so long, by the wall clock, counts as absent; 0: it stays.
  int64_t ttl_micros;
} WeirPluginState;

// What create() is handed. Names that are declared are letters, digits, '_' and '-', a letter or
// digit first, and differ from others of their kind. What is wrong with a declaration the host
// notes itself: create() goes on, and the instance is refused when it returns.
typedef struct WeirPluginSetup {
  const WeirPluginSetting* settings;
  uint64_t setting_count;
  // One thing that is wrong with the settings; may be called for each. create() then returns
  // WEIR_PLUGIN_FAILED.
  void (*reject)(const struct WeirPluginSetup* setup, WeirPluginBytes error);

  // WEIR_PLUGIN_KEY_...: at most once, and needed where there is a state.
  void (*key_by)(const struct WeirPluginSetup* setup, uint32_t member);
  // Each returns the index by which the thing is called from then on. Outputs are those beside the
  // main one, which is always there and has the index 0.
  uint32_t (*state)(const struct WeirPluginSetup* setup, const WeirPluginState* state);
  uint32_t (*output)(const struct WeirPluginSetup* setup, WeirPluginBytes name);
  uint32_t (*counter)(const struct WeirPluginSetup* setup, WeirPluginBytes name);
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
  uint32_t state_bytes;
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
