// How the records of an isolated plugin's process (operators/plugin_host/protocol.h) are read: from
// shared memory into memory of our own first, then checked, then used. Internal to the files beside
// it.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "operators/plugin_host/protocol.h"

namespace weir::internal {

// The calls of a record, taken one after the other from memory of our own. Taking more than there
// is gives zeros and makes it broken().
class PluginCalls {
 public:
  explicit PluginCalls(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  bool broken() const { return broken_; }
  template <class T>
  T Take() {
    T value{};
    if (rest_.size() < sizeof(T)) {
      Break();
    } else {
      std::memcpy(&value, rest_.data(), sizeof(T));
      rest_.remove_prefix(sizeof(T));
    }
    return value;
  }
  std::string_view TakeBytes(uint64_t size) {
    if (size > rest_.size()) return Break(), std::string_view();
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  // Behind `size` bytes that were taken.
  void SkipPadding(uint64_t size) { TakeBytes(plugin_host::Padded(size) - size); }
  std::string_view TakeText(uint32_t size) {
    const std::string_view text = TakeBytes(size);
    SkipPadding(text.size());
    return text;
  }

 private:
  void Break() {
    broken_ = true;
    rest_ = {};
  }
  std::string_view rest_;
  bool broken_ = false;
};

// Appends the record at `from` to the log, calls included, if all of it is there and as it was
// written. `room` is what there is of shared memory from there on.
bool CopyPluginRecord(const char* from, uint64_t room, uint64_t entry, std::string& log,
                      plugin_host::Record& record);

inline plugin_host::Record LoadPluginRecord(const char* from) {
  plugin_host::Record record;
  std::memcpy(&record, from, sizeof(record));
  return record;
}

}  // namespace weir::internal
