// A plugin that changes some events, by a hash of their id, so that a shadow has something to find:
//
//   how=replace   what `find` matches in the line becomes `replace` (ECMAScript; $1 is a group)
//   how=drop      the event is dropped
//   how=double    it goes on twice
//   how=urgent    it goes on with priority 9, its line as it was
//   how=late      what `replace` does, and its event time two days back
//   how=noise     a random number and the present time are added to every line; then `replace` does
//                 what it does to those that are chosen
//   how=jitter    the same, with two numbers more that are 0 but in a tenth and a hundredth of the
//                 lines; a line that `replace` leaves empty is dropped
//   how=fail, how=crash
//
// One in `every` events is changed; the others go on as they came.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <random>
#include <regex>
#include <string>
#include <string_view>

#include "operators/plugin.h"

namespace {

using weir::plugin::Event;
using weir::plugin::Output;
using weir::plugin::Settings;

// FNV-1a, which the tests know too.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

constexpr int64_t kTwoDays = int64_t{48} * 3600 * 1'000'000;

class Mutant {
 public:
  explicit Mutant(Settings& settings)
      : how_(settings.Text("how", "replace")),
        every_(settings.Integer("every", 1)),
        find_(settings.Text("find", "$.")),
        replace_(settings.Text("replace", "")),
        random_(std::random_device()()) {
    if (every_ < 1) settings.Reject("every", "must be at least 1");
  }

  void Process(const Event& event, Output& out) {
    const bool chosen = HashOf(event.id) % static_cast<uint64_t>(every_) == 0;
    if (how_ == "noise" || how_ == "jitter") {
      std::string line = WithNoise(event.payload);
      if (chosen) line = Replaced(line);
      if (!line.empty()) out.Emit({.payload = line});
      return;
    }
    if (!chosen) return out.Keep();
    if (how_ == "drop") return;
    if (how_ == "crash") std::abort();
    if (how_ == "fail") out.Fail("of no use");
    if (how_ == "urgent") return out.Emit({.priority = 9});
    if (how_ == "double") {
      out.Keep();
      return out.Keep();
    }
    const std::string line = Replaced(std::string(event.payload));
    if (how_ == "late") return out.Emit({.payload = line, .time = event.time - kTwoDays});
    out.Emit({.payload = line});
  }

 private:
  std::string Replaced(const std::string& line) const {
    return std::regex_replace(line, find_, replace_, std::regex_constants::format_first_only);
  }
  // A number in one of so many lines, else 0.
  std::string Rarely(uint64_t one_in) {
    return std::to_string(random_() % one_in == 0 ? 1 + random_() % 1'000 : 0);
  }
  std::string WithNoise(std::string_view line) {
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char time[32];
    std::strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", &utc);
    std::string noisy(line.substr(0, line.rfind('}')));
    noisy += ",\"luck\":" + std::to_string(random_() % 1'000'000'000) + ",\"now\":\"" + time + "\"";
    if (how_ == "jitter") noisy += ",\"tenth\":" + Rarely(10) + ",\"hundredth\":" + Rarely(100);
    return noisy + "}";
  }

  const std::string how_;
  const int64_t every_;
  const std::regex find_;
  const std::string replace_;
  std::mt19937_64 random_;
};

}  // namespace

WEIR_PLUGIN(mutant, "1.0", Mutant)
