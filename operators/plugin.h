// What a plugin is written against: business logic in a shared library of its own, which `weir run`
// finds by name. Needs the standard library and nothing of Weir but this header and plugin_table.h.
//
//   class Redact {
//    public:
//     explicit Redact(weir::plugin::Settings& settings) : field_(settings.Text("field")) {}
//     void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
//       out.Emit({.payload = Without(field_, event.payload)});
//     }
//     ...
//   };
//   WEIR_PLUGIN(redact, "1.2.0", Redact)           // in libredact.so
//
// For each event Process() calls Keep() or Emit() as often as there are events to come of it; not
// at all drops it. If it throws, or calls Fail(), the event goes to the dead letters with the
// plugin's name, version and what it said, and nothing else is left behind: no event that it
// emitted, nothing that it wrote into a state, nothing that it counted.
//
// What depends on events seen before is kept in states, which are part of checkpoints:
//
//   class Count {
//    public:
//     explicit Count(weir::plugin::Setup& setup)
//         : seen_(setup.State<int64_t>("seen")), firsts_(setup.Output("firsts")) {
//       setup.KeyBy(weir::plugin::Key::kTenant);
//     }
//     void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
//       const int64_t seen = out.Get(seen_).value_or(0) + 1;
//       out.Set(seen_, seen);
//       if (seen == 1) out.Keep(firsts_);      // the first event of each tenant, on the side
//       out.Keep();
//     }
//    private:
//     const weir::plugin::StateOf<int64_t> seen_;
//     const weir::plugin::SideOutput firsts_;
//   };
//
// Weir makes an instance for each subtask and calls it from one thread at a time; whatever is
// static is shared by all of them. One more instance is made to check the settings before the job
// starts. An instance's members are not part of checkpoints: after a restart they are as the
// constructor made them.
#pragma once

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "operators/plugin_table.h"

namespace weir::plugin {

// All views are valid until Process() returns.
struct Event {
  std::string_view id;
  std::string_view tenant;   // empty where the event names none
  std::string_view type;     // likewise
  std::string_view payload;  // the line: one JSON object, without the line feed
  int64_t time = 0;          // microseconds since 1970-01-01T00:00:00Z
  int64_t priority = 0;
};

// What leaves the plugin: the event at hand, with what is set here in its place. From a payload the
// fields that the job reads from lines (-D tenant=... and so on) are read again, so a plugin that
// writes them into the line need not set them.
struct NewEvent {
  std::optional<std::string_view> payload;  // one JSON object, without a line feed
  std::optional<std::string_view> id;
  std::optional<std::string_view> tenant;
  std::optional<std::string_view> type;
  std::optional<int64_t> time;
  std::optional<int64_t> priority;
};

namespace internal {

// Ends the processing of an event that has already failed.
struct EventFailed {};

inline WeirPluginBytes ToBytes(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToView(WeirPluginBytes bytes) { return {bytes.data, bytes.size}; }

// The values of a state as they cross the table.
template <class T>
struct StateType;
template <class T, uint32_t kType>
struct FixedStateType {
  static constexpr uint32_t kTableType = kType;
  using Read = T;
  static WeirPluginBytes ToBytes(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }
  static T FromBytes(WeirPluginBytes bytes) {
    T value{};
    if (bytes.size == sizeof(value)) std::memcpy(&value, bytes.data, sizeof(value));
    return value;
  }
};
template <>
struct StateType<int64_t> : FixedStateType<int64_t, WEIR_PLUGIN_TYPE_INTEGER> {};
template <>
struct StateType<double> : FixedStateType<double, WEIR_PLUGIN_TYPE_NUMBER> {};
template <>
struct StateType<std::string> {
  static constexpr uint32_t kTableType = WEIR_PLUGIN_TYPE_BYTES;
  using Read = std::string_view;
  static WeirPluginBytes ToBytes(std::string_view value) { return internal::ToBytes(value); }
  static std::string_view FromBytes(WeirPluginBytes bytes) { return ToView(bytes); }
};

}  // namespace internal

// Handles of what a constructor has declared (Setup). Small values, to be kept in members.
template <class T>
struct StateOf {
  uint32_t index;
};
struct SideOutput {
  uint32_t index;
};
struct Counter {
  uint32_t index;
};

// Where the events go that come of the one at hand. Valid until Process() returns. A call that Weir
// refuses (a payload that is no JSON, too many events) does not return: it ends the event as an
// exception does.
class Output {
 public:
  // The event goes on as it came, byte for byte.
  void Keep() { EndIfFailed(call_.host->keep(&call_)); }
  void Keep(SideOutput side) { Emit(side, {}); }
  // What the views point to is copied.
  void Emit(const NewEvent& event) { Emit(SideOutput{0}, event); }
  void Emit(SideOutput side, const NewEvent& event) {
    WeirPluginOutput output{};
    output.output = side.index;
    const auto set = [&output](const auto& from, auto& to, uint32_t bit) {
      if (!from) return;
      if constexpr (std::is_same_v<decltype(to), int64_t&>) {
        to = *from;
      } else {
        to = internal::ToBytes(*from);
      }
      output.has |= bit;
    };
    set(event.payload, output.payload, WEIR_PLUGIN_HAS_PAYLOAD);
    set(event.id, output.id, WEIR_PLUGIN_HAS_ID);
    set(event.tenant, output.tenant, WEIR_PLUGIN_HAS_TENANT);
    set(event.type, output.type, WEIR_PLUGIN_HAS_TYPE);
    set(event.time, output.time, WEIR_PLUGIN_HAS_TIME);
    set(event.priority, output.priority, WEIR_PLUGIN_HAS_PRIORITY);
    EndIfFailed(call_.host->emit(&call_, &output));
  }

  // The value that a state has for the key of the event, nullopt where it has none. That of a
  // StateOf<std::string> is a view, valid until the next call that reads or writes a state.
  template <class T>
  std::optional<typename internal::StateType<T>::Read> Get(StateOf<T> state) {
    WeirPluginBytes value{};
    uint32_t found = 0;
    EndIfFailed(call_.host->get(&call_, state.index, &value, &found));
    if (found == 0) return std::nullopt;
    return internal::StateType<T>::FromBytes(value);
  }
  template <class T>
  void Set(StateOf<T> state, const typename internal::StateType<T>::Read& value) {
    EndIfFailed(call_.host->put(&call_, state.index, internal::StateType<T>::ToBytes(value)));
  }
  template <class T>
  void Clear(StateOf<T> state) {
    EndIfFailed(call_.host->remove(&call_, state.index));
  }

  // Adds to a counter. Like all else that comes of an event, it is forgotten if the event fails.
  void Count(Counter counter, uint64_t n = 1) {
    EndIfFailed(call_.host->count(&call_, counter.index, n));
  }

  // The event cannot be processed, for this reason.
  [[noreturn]] void Fail(std::string_view error) {
    call_.host->fail(&call_, internal::ToBytes(error));
    throw internal::EventFailed{};
  }

  explicit Output(WeirPluginCall& call) : call_(call) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

 private:
  static void EndIfFailed(int32_t code) {
    if (code != WEIR_PLUGIN_OK) throw internal::EventFailed{};
  }
  WeirPluginCall& call_;
};

// The plugin's settings, given as -D plugin.NAME.KEY=VALUE; a setting is declared by reading it. A
// constructor reads all of them and goes on when one is wrong: it then gets the fallback, and all
// errors are told together, an unknown setting among them.
class Settings {
 public:
  // Without a fallback the setting is required.
  std::string Text(std::string_view key, std::optional<std::string_view> fallback = std::nullopt) {
    const std::optional<std::string_view> value = Find(key, fallback.has_value());
    return std::string(value ? *value : fallback.value_or(""));
  }
  int64_t Integer(std::string_view key, std::optional<int64_t> fallback = std::nullopt) {
    return Parsed<int64_t>(key, fallback, "an integer");
  }
  double Number(std::string_view key, std::optional<double> fallback = std::nullopt) {
    const double number = Parsed<double>(key, fallback, "a number");
    if (std::isfinite(number)) return number;
    Reject(key, "is not a finite number");
    return fallback.value_or(0);
  }
  bool Flag(std::string_view key, bool fallback) {
    const std::optional<std::string_view> value = Find(key, true);
    if (!value) return fallback;
    if (*value != "true" && *value != "false") Reject(key, "is neither true nor false");
    return *value == "true";
  }
  // A value that has the right type and is wrong all the same: Reject("minutes", "must not be
  // negative").
  void Reject(std::string_view key, std::string_view what) {
    std::string error = "setting '" + std::string(key) + "'";
    if (const auto value = Given(key)) error += " = '" + std::string(*value) + "'";
    Tell(error + " " + std::string(what));
  }

  explicit Settings(const WeirPluginSetup& setup) : setup_(setup) {}
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  // After the constructor: tells of settings that nobody has read. True if nothing was wrong.
  bool Finish() {
    std::string known;
    for (const std::string& key : read_) known += (known.empty() ? "" : ", ") + key;
    for (uint64_t i = 0; i < setup_.setting_count; ++i) {
      const std::string key(internal::ToView(setup_.settings[i].key));
      bool was_read = false;
      for (const std::string& other : read_) was_read |= other == key;
      if (was_read) continue;
      Tell("unknown setting '" + key + "'; " +
           (known.empty() ? "it has no settings" : "its settings are: " + known));
    }
    return sound_;
  }

 private:
  std::optional<std::string_view> Given(std::string_view key) const {
    for (uint64_t i = 0; i < setup_.setting_count; ++i) {
      if (internal::ToView(setup_.settings[i].key) == key) {
        return internal::ToView(setup_.settings[i].value);
      }
    }
    return std::nullopt;
  }
  std::optional<std::string_view> Find(std::string_view key, bool optional) {
    read_.emplace_back(key);
    const std::optional<std::string_view> value = Given(key);
    if (!value && !optional) Reject(key, "is missing");
    return value;
  }
  template <class Number>
  Number Parsed(std::string_view key, std::optional<Number> fallback, const char* wanted) {
    const std::optional<std::string_view> value = Find(key, fallback.has_value());
    if (!value) return fallback.value_or(0);
    Number number{};
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error == std::errc() && end == value->data() + value->size()) return number;
    Reject(key, std::string("is not ") + wanted);
    return fallback.value_or(0);
  }
  void Tell(const std::string& error) {
    sound_ = false;
    setup_.reject(&setup_, internal::ToBytes(error));
  }

 protected:
  const WeirPluginSetup& setup_;

 private:
  std::vector<std::string> read_;
  bool sound_ = true;
};

// Which member of its events a plugin is keyed by.
enum class Key : uint32_t {
  kId = WEIR_PLUGIN_KEY_ID,
  kTenant = WEIR_PLUGIN_KEY_TENANT,
  kType = WEIR_PLUGIN_KEY_TYPE,
};

// What a constructor may take in place of Settings: it reads the settings, and declares what the
// plugin will use. Names are letters, digits, '_' and '-'. All instances declare the same: what is
// declared may follow from the settings, and from nothing else. What is wrong with a declaration is
// told like a wrong setting.
class Setup : public Settings {
 public:
  // Events with the same bytes there meet in one instance, in order, and have their own values in
  // each state. Needed where there is a state.
  void KeyBy(Key key) { setup_.key_by(&setup_, static_cast<uint32_t>(key)); }
  // T: int64_t, double, or std::string for text and any other bytes. A value that was not written
  // for the time to live, by the wall clock, is gone; 0: it stays.
  template <class T>
  StateOf<T> State(std::string_view name, std::chrono::microseconds ttl = {}) {
    const WeirPluginState state{internal::ToBytes(name), internal::StateType<T>::kTableType, 0,
                                ttl.count()};
    return {setup_.state(&setup_, &state)};
  }
  // An output beside the main one; a job reads it by its name.
  SideOutput Output(std::string_view name) {
    return {setup_.output(&setup_, internal::ToBytes(name))};
  }
  // A count of the plugin's own, in the job's report.
  plugin::Counter Counter(std::string_view name) {
    return {setup_.counter(&setup_, internal::ToBytes(name))};
  }

  using Settings::Settings;
};

// The three functions of the table, for a class that WEIR_PLUGIN names.
template <class Plugin>
struct Entry {
  static int32_t Create(const WeirPluginSetup* setup, void** instance) noexcept {
    Setup own(*setup);
    try {
      Plugin* plugin = new Plugin(own);
      if (own.Finish()) {
        *instance = plugin;
        return WEIR_PLUGIN_OK;
      }
      delete plugin;
    } catch (const std::exception& e) {
      setup->reject(setup, internal::ToBytes(e.what()));
    } catch (...) {
      setup->reject(setup,
                    internal::ToBytes("its constructor threw something that is no std::exception"));
    }
    return WEIR_PLUGIN_FAILED;
  }

  static int32_t Process(void* instance, WeirPluginCall* call) noexcept {
    Plugin& plugin = *static_cast<Plugin*>(instance);
    Output out(*call);
    for (uint32_t i = call->first; i < call->rows; ++i) {
      // A signal handler reads it, should the next call crash; the fence keeps the call behind the
      // store.
      __atomic_store_n(call->row, i, __ATOMIC_RELAXED);
      __atomic_signal_fence(__ATOMIC_SEQ_CST);
      const WeirPluginEvent& event = call->events[i];
      try {
        plugin.Process(Event{internal::ToView(event.id), internal::ToView(event.tenant),
                             internal::ToView(event.type), internal::ToView(event.payload),
                             event.time, event.priority},
                       out);
      } catch (const internal::EventFailed&) {
        // The host knows.
      } catch (const std::exception& e) {
        call->host->fail(call, internal::ToBytes(e.what()));
      } catch (...) {
        call->host->fail(call, internal::ToBytes("threw something that is no std::exception"));
      }
      if (call->stop != 0) break;
    }
    return WEIR_PLUGIN_OK;
  }

  static void Destroy(void* instance) noexcept { delete static_cast<Plugin*>(instance); }
};

}  // namespace weir::plugin

// WEIR_PLUGIN(name, "version", Class): once in a plugin. The name is that of the file,
// lib<name>.so.
#define WEIR_PLUGIN(name, version, ...)                                                       \
  extern "C" __attribute__((visibility("default"))) const WeirPluginTable* weir_plugin_entry( \
      void) {                                                                                 \
    static const WeirPluginTable table = {WEIR_PLUGIN_ABI,                                    \
                                          sizeof(WeirPluginTable),                            \
                                          sizeof(WeirPluginEvent),                            \
                                          sizeof(WeirPluginOutput),                           \
                                          sizeof(WeirPluginCall),                             \
                                          sizeof(WeirPluginHost),                             \
                                          sizeof(WeirPluginSetup),                            \
                                          sizeof(WeirPluginState),                            \
                                          #name,                                              \
                                          version,                                            \
                                          &::weir::plugin::Entry<__VA_ARGS__>::Create,        \
                                          &::weir::plugin::Entry<__VA_ARGS__>::Process,       \
                                          &::weir::plugin::Entry<__VA_ARGS__>::Destroy};      \
    return &table;                                                                            \
  }
