// A plugin whose events tell it how to misbehave, by their type. What it emits is in their tenant.
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "operators/plugin.h"

namespace {

using weir::plugin::Event;
using weir::plugin::Output;
using weir::plugin::Settings;

class Unruly {
 public:
  explicit Unruly(Settings& settings) : many_(settings.Integer("many", 3)) {}

  void Process(const Event& event, Output& out) {
    const std::string_view act = event.type;
    if (act == "drop") return;
    if (act == "crash") std::abort();
    if (act == "slow") {  // 20 ms of work
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
      while (std::chrono::steady_clock::now() < end) continue;
    }
    if (act == "throw") throw std::runtime_error("cannot read " + std::string(event.id));
    if (act == "throw-int") throw 42;
    if (act == "throw-nothing") throw std::runtime_error("");
    if (act == "fail") out.Fail("no such airport");
    if (act == "fail-at-length") out.Fail(std::string(1 << 20, 'x'));
    if (act == "emit-then-throw") {
      out.Keep();
      out.Emit({.payload = R"({"id":"left behind"})"});
      throw std::runtime_error("at the last moment");
    }
    if (act == "emit") return out.Emit({.payload = event.tenant});
    if (act == "swallow") {
      try {
        out.Emit({.payload = "rubbish"});
      } catch (...) {
      }
    }
    if (act == "many") {
      for (int64_t i = 0; i < many_; ++i) {
        out.Emit({.payload = R"({"id":)" + std::to_string(i) + R"(,"type":"one of many"})"});
      }
      return;
    }
    if (act == "endless") {
      for (;;) out.Keep();
    }
    if (act == "large") {  // 40 lines of 8 MiB
      const std::string line = R"({"id":1,"x":")" + std::string(8 << 20, 'x') + "\"}";
      for (int i = 0; i < 40; ++i) out.Emit({.payload = line});
    }
    if (act == "too-large") return out.Emit({.payload = {{event.id.data(), size_t{1} << 40}}});
    if (act == "fields") {
      return out.Emit(
          {.id = "i", .tenant = "t", .type = "y", .time = event.time + 1, .priority = 7});
    }
    if (act == "both") return out.Emit({.payload = event.tenant, .tenant = "set", .priority = 8});
    if (act == "late") return out.Emit({.time = -5});
    if (act == "no-time") return out.Emit({.time = INT64_MIN});
    if (act == "far-future") return out.Emit({.time = INT64_MAX});
    if (act == "large-field") return out.Emit({.tenant = std::string(70'000, 'x')});
    out.Keep();
  }

 private:
  const int64_t many_;
};

}  // namespace

WEIR_PLUGIN(unruly, "2.1.0", Unruly)
