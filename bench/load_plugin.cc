// The plugin of the plugins benchmark: it changes one event in `change_every`, and, by its
// settings, crashes or hangs at some. Which ones follows from their ids alone.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "operators/plugin.h"

namespace {

class Load {
 public:
  explicit Load(weir::plugin::Settings& settings)
      : change_every_(settings.Integer("change_every", 4)),
        crash_every_(settings.Integer("crash_every", 0)),
        hang_every_(settings.Integer("hang_every", 0)) {}

  void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
    const uint64_t hash = Hash(event.id);
    if (IsOneIn(hash, crash_every_)) std::abort();
    if (IsOneIn(hash >> 1, hang_every_)) {
      for (volatile bool on = true; on;) {
      }
    }
    if (!IsOneIn(hash, change_every_)) return out.Keep();
    line_.assign("{\"changed\":true,");
    line_.append(event.payload.substr(1));
    out.Emit({.payload = line_});
  }

 private:
  static bool IsOneIn(uint64_t hash, int64_t every) {
    return every > 0 && hash % static_cast<uint64_t>(every) == 0;
  }
  static uint64_t Hash(std::string_view id) {  // FNV-1a, and its high bits mixed into the low ones
    uint64_t hash = 0xcbf29ce484222325;
    for (unsigned char c : id) hash = (hash ^ c) * 0x100000001b3;
    return (hash ^ (hash >> 32)) * 0x9e3779b97f4a7c15 >> 16;
  }

  const int64_t change_every_, crash_every_, hang_every_;
  std::string line_;
};

}  // namespace

WEIR_PLUGIN(load, "1", Load)
