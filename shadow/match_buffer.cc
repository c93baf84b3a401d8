#include "shadow/match_buffer.h"

#include <algorithm>
#include <utility>

#include "core/limits.h"

namespace weir::shadow {
namespace {

constexpr size_t kPlaceBytes = 32;  // in the hash table, as full as it mostly is

// Of two hashes one; also where both are of the same bytes.
Fingerprint Both(const Fingerprint& a, const Fingerprint& b) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  return {a.high * kOdd + b.high, a.low * kOdd + b.low};
}

}  // namespace

bool MatchBuffer::Add(const TappedRecord& record, Timestamp time) {
  const uint32_t place = PlaceOf(record);
  Text& text = texts_[place];
  ++text.waiting[record.version];
  arrivals_.push_back({time, place, record.version});
  earliest_ = std::min(earliest_, time);
  if (std::ranges::count(text.waiting, 0u) > 0) return false;
  for (int version = 0; version < kVersions; ++version) {
    --text.waiting[version];
    ++text.matched[version];
  }
  if (std::ranges::count(text.waiting, 0u) == kVersions) Forget(place);
  return true;
}

uint32_t MatchBuffer::PlaceOf(const TappedRecord& record) {
  const Fingerprint meeting = FingerprintOf(record.meeting);
  const Fingerprint identity = Both(meeting, Hash128(record.text));
  const auto [at, added] = places_.try_emplace(identity, 0);
  if (!added) return at->second;
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(texts_.size()));
    free_bytes_ += BytesOf(texts_.emplace_back());
  }
  const uint32_t place = at->second = free_.back();
  free_.pop_back();
  Text& text = texts_[place];
  free_bytes_ -= BytesOf(text);
  text.output = record.output;
  text.key = record.key;
  text.text = record.text;
  text.meeting = meeting;
  text.identity = identity;
  waiting_bytes_ += BytesOf(text);
  return place;
}

void MatchBuffer::Forget(uint32_t place) {
  Text& text = texts_[place];
  waiting_bytes_ -= BytesOf(text);
  places_.erase(text.identity);
  free_.push_back(place);
  if (free_bytes_ + BytesOf(text) > bytes_max_ / 4) text.key = text.text = std::string();
  free_bytes_ += BytesOf(text);
}

// Its strings stay as large as they ever were.
size_t MatchBuffer::BytesOf(const Text& text) {
  return sizeof(Text) + kPlaceBytes + text.output.capacity() + text.key.capacity() +
         text.text.capacity();
}

bool MatchBuffer::StillWaits(const Arrival& arrival) {
  uint32_t& matched = texts_[arrival.text].matched[arrival.version];
  if (matched == 0) return true;
  --matched;
  return false;
}

void MatchBuffer::Compact() {
  std::erase_if(arrivals_, [this](const Arrival& arrival) { return !StillWaits(arrival); });
  earliest_ = kMaxTimestamp;
  for (const Arrival& arrival : arrivals_) earliest_ = std::min(earliest_, arrival.time);
}

bool MatchBuffer::IsFull() {
  if (bytes() <= bytes_max_) return false;
  Compact();
  return bytes() > bytes_max_ / 2;  // else it would soon have to be compacted again
}

bool MatchBuffer::HasUntil(Timestamp time) {
  if (empty() || earliest_ > time) return false;
  Compact();
  return !empty() && earliest_ <= time;
}

BatchPtr MatchBuffer::Take() {
  while (taken_ < arrivals_.size() && leaving_.rows() < weir::limits::kBatchRowsDefault) {
    const Arrival& arrival = arrivals_[taken_++];
    if (!StillWaits(arrival)) continue;
    const Text& text = texts_[arrival.text];
    Collector<TappedRecord>& out = leaving_.BeginRow(arrival.time);
    out.Emit({arrival.version, out.Keep(text.output), out.Keep(MeetingBytes(text.meeting)),
              out.Keep(text.key), out.Keep(text.text)});
    leaving_.CommitRow();
  }
  if (taken_ == arrivals_.size()) {
    places_.clear();
    texts_.clear();
    free_.clear();
    arrivals_.clear();
    taken_ = 0;
    waiting_bytes_ = 0;
    free_bytes_ = 0;
    earliest_ = kMaxTimestamp;
  }
  return leaving_.Take({});
}

}  // namespace weir::shadow
