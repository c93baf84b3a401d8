// Recorder: writes one record of a host's answer into shared memory: what the plugin called for one
// event. Used by the host alone; its own fields are in memory that only a plugin gone wild reaches.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "operators/plugin_host/checksum.h"

namespace weir::plugin_host {

class Recorder {
 public:
  // A record may take [at, end).
  void Begin(char* at, char* end) {
    at_ = at;
    end_ = end;
    next_ = at + sizeof(Record);
    calls_ = 0;
  }
  bool HasRoom(uint64_t bytes) const {
    return bytes <= static_cast<uint64_t>(end_ - next_) &&
           Padded(bytes) + sizeof(Call) <= static_cast<uint64_t>(end_ - next_);
  }
  // REQUIRES: HasRoom() of all that the call takes.
  void Add(Op op, uint32_t argument = 0, uint16_t flags = 0) {
    const Call call{op, flags, argument};
    Put(&call, sizeof(call));
    ++calls_;
  }
  void Put(const void* bytes, uint64_t size) {
    if (size > 0) std::memcpy(next_, bytes, size);
    next_ += size;
  }
  // Zeroes up to the next multiple of 8, so that the checksum is of known bytes.
  void Pad(uint64_t size) {
    const uint64_t padding = Padded(size) - size;
    std::memset(next_, 0, padding);
    next_ += padding;
  }
  // A call that is a text, cut to what messages may have.
  void AddText(Op op, std::string_view text) {
    text = text.substr(0, limits::kPluginErrorBytesMax);
    if (!HasRoom(text.size())) return;
    Add(op, static_cast<uint32_t>(text.size()));
    Put(text.data(), text.size());
    Pad(text.size());
  }
  // Where the next record may begin.
  char* Finish(Record record) {
    record.calls = calls_;
    record.call_bytes = static_cast<uint64_t>(next_ - at_) - sizeof(Record);
    record.checksum = ChecksumOf(record, at_ + sizeof(Record));
    std::memcpy(at_, &record, sizeof(record));
    return next_;
  }

 private:
  char* at_ = nullptr;
  char* end_ = nullptr;
  char* next_ = nullptr;
  uint32_t calls_ = 0;
};

}  // namespace weir::plugin_host
