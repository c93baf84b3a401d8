// HostValues: the values that a plugin's states have for the keys of a request, as they were sent
// with it, and what the plugin has written since. Used by a host; owns nothing that outlives a
// request.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operators/plugin_host/protocol.h"
#include "operators/plugin_table.h"

namespace weir::plugin_host {

class HostValues {
 public:
  explicit HostValues(uint32_t states) : states_(states) {}

  void BeginRequest(const char* slot, const RequestEntry& entry) {
    slot_ = slot;
    base_ = entry.base;
    events_ = reinterpret_cast<const RequestEvent*>(slot);
    sent_ = reinterpret_cast<const Extent*>(slot + entry.values);
    written_.clear();
    written_.resize(entry.keys * states_);
  }
  void BeginRow(uint32_t row) { key_ = static_cast<size_t>(events_[row - base_].key) * states_; }
  // The row's writes stand, or are forgotten.
  void EndRow(bool keep) {
    for (size_t index : row_writes_) {
      Written& written = written_[index];
      if (keep) std::swap(written.settled, written.of_row);
      written.of_row = {};
      written.in_row = false;
      written.was_settled |= keep;
    }
    row_writes_.clear();
  }

  bool Has(uint32_t state) const { return state < states_ && !written_.empty(); }
  bool IsReadable(uint32_t state) const {
    return Has(state) && !(sent_[key_ + state] == kUnreadable);
  }
  // REQUIRES: IsReadable(). False, and an empty value: there is none.
  bool Get(uint32_t state, WeirPluginBytes& value) const {
    const Written& written = written_[key_ + state];
    if (written.in_row) return Give(written.of_row, value);
    if (written.was_settled) return Give(written.settled, value);
    const Extent sent = sent_[key_ + state];
    value = {};
    if (sent == kNoValue) return false;
    value = {slot_ + sent.offset, sent.size};
    return true;
  }
  // REQUIRES, here and below: Has().
  void Put(uint32_t state, std::string_view value) {
    // A copy first: the value may be a part of the one that is replaced.
    Value copy{true, std::string(value)};
    Write(state) = std::move(copy);
  }
  void Remove(uint32_t state) { Write(state) = {}; }

 private:
  struct Value {
    bool present = false;
    std::string bytes;
  };
  struct Written {
    bool was_settled = false, in_row = false;
    Value settled, of_row;
  };
  static bool Give(const Value& from, WeirPluginBytes& value) {
    value = {from.bytes.data(), from.bytes.size()};
    return from.present;
  }
  Value& Write(uint32_t state) {
    Written& written = written_[key_ + state];
    if (!written.in_row) row_writes_.push_back(key_ + state);
    written.in_row = true;
    return written.of_row;
  }

  const uint32_t states_;
  const char* slot_ = nullptr;
  uint32_t base_ = 0;
  const RequestEvent* events_ = nullptr;
  const Extent* sent_ = nullptr;
  size_t key_ = 0;  // of the row: the index of its first state's value
  std::vector<Written> written_;
  std::vector<size_t> row_writes_;  // indexes into written_
};

}  // namespace weir::plugin_host
