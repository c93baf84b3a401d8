// MatchBuffer: where records wait in front of the comparator's state. Nearly all of them meet their
// like within a moment, as the versions run side by side, and then need no state and no timer.
//
// It keeps what it is given until each of the versions has written the same text to the same output
// under the same key; then it forgets the three. What still waits leaves it in the order in which
// it came. It is no state: its owner empties it in front of every barrier.
//
// One per operator, one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/batch.h"
#include "core/hash.h"
#include "core/time.h"
#include "operators/transforms/collector.h"
#include "shadow/tapped_record.h"

namespace weir::shadow {

class MatchBuffer {
 public:
  // `bytes_max`: what it may hold, about.
  explicit MatchBuffer(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Copies the record. True: it was the last of three, and they are forgotten.
  bool Add(const TappedRecord& record, Timestamp time);
  // So much waits that it is to be emptied. Asked after each batch.
  bool IsFull();
  // Whether a record waits whose time is not later.
  bool HasUntil(Timestamp time);
  // The next ones that wait, at their times, up to limits::kBatchRowsDefault; maybe none, though it
  // is not empty yet. Between the first call and empty() nothing else may be called.
  BatchPtr Take();
  bool empty() const { return arrivals_.empty(); }

 private:
  // What the versions have written of one text. A place that is free keeps `matched`.
  struct Text {
    std::string output, key, text;
    Fingerprint meeting;
    Fingerprint identity;
    std::array<uint32_t, kVersions> waiting{};
    std::array<uint32_t, kVersions> matched{};  // the oldest ones of its place in arrivals_
  };
  struct Arrival {
    Timestamp time = 0;
    uint32_t text = 0;  // its place in texts_
    uint8_t version = 0;
  };

  uint32_t PlaceOf(const TappedRecord& record);
  void Forget(uint32_t place);
  // False: it was matched. To be asked of all arrivals in their order.
  bool StillWaits(const Arrival& arrival);
  void Compact();
  static size_t BytesOf(const Text& text);
  size_t bytes() const { return waiting_bytes_ + free_bytes_ + arrivals_.size() * sizeof(Arrival); }

  const size_t bytes_max_;
  absl::flat_hash_map<Fingerprint, uint32_t, FingerprintHash> places_;  // of texts, by identity
  std::vector<Text> texts_;
  std::vector<uint32_t> free_;          // places in texts_
  std::vector<Arrival> arrivals_;       // of all that wait, and of some that have been matched
  size_t taken_ = 0;                    // of arrivals_
  size_t waiting_bytes_ = 0;            // of texts that wait
  size_t free_bytes_ = 0;               // of places for the next ones
  Timestamp earliest_ = kMaxTimestamp;  // of all arrivals_
  RowBuilder<TappedRecord> leaving_;
};

}  // namespace weir::shadow
