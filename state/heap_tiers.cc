#include "state/heap_tiers.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/codec.h"

namespace weir::heap {
namespace {

constexpr std::string_view kMagic = "weir heap-keyed/1\n";

Status Broken(std::string_view what) {
  return absl::DataLossError(fmt::format("not keyed state: {}", what));
}

}  // namespace

MergedScan::MergedScan(const std::vector<const Map*>& newest_first, std::string_view from) {
  for (const Map* map : newest_first) {
    cursors_.emplace_back(from.empty() ? map->begin() : map->lower_bound(from), map->end());
  }
  Settle();
}

void MergedScan::Next() {
  AdvancePast(key());
  Settle();
}

void MergedScan::Settle() {
  for (;;) {
    current_ = -1;
    for (size_t i = 0; i < cursors_.size(); ++i) {
      auto& [at, end] = cursors_[i];
      if (at != end && (current_ < 0 || at->first < key())) current_ = static_cast<int>(i);
    }
    if (current_ < 0 || entry().schema != kDeleted) return;
    AdvancePast(key());
  }
}

void MergedScan::AdvancePast(std::string_view key) {
  for (auto& [at, end] : cursors_) {
    if (at != end && at->first == key) ++at;
  }
}

FileEncoder::FileEncoder(const StateTable& states) {
  header_ = kMagic;
  states.Encode(header_);
  bytes_ = header_;
}

void FileEncoder::Add(std::string_view composed, const Entry& entry) {
  ComposedKey parts = Decompose(composed);
  PutVarint(static_cast<uint64_t>(parts.group), bytes_);
  PutVarint(static_cast<uint64_t>(parts.state), bytes_);
  PutVarint(static_cast<uint64_t>(entry.schema + 1), bytes_);
  PutBytes(parts.key, bytes_);
  PutBytes(parts.sub_key, bytes_);
  if (entry.schema != kDeleted) PutBytes(entry.value, bytes_);
}

std::string FileEncoder::Take() { return std::exchange(bytes_, header_); }

Status ApplyFile(std::string_view bytes, const KeyGroupRange& key_groups, StateTable& states,
                 Map& base) {
  if (!bytes.starts_with(kMagic)) return Broken("bad first bytes");
  ByteReader in(bytes.substr(kMagic.size()));
  auto offset = [&] { return bytes.size() - in.remaining(); };
  WEIR_ASSIGN_OR_RETURN(const std::vector<StateTable::Mapping> table, states.Merge(in));

  std::string composed;
  while (!in.done()) {
    const size_t begin = offset();
    uint64_t group, state, schema;
    std::string_view key, sub_key, value;
    bool ok = in.Varint(group) && group < kKeyGroups && in.Varint(state) && state < table.size() &&
              in.Varint(schema) && schema <= table[state].schemas.size() && in.Bytes(key) &&
              in.Bytes(sub_key) && (schema == 0 || in.Bytes(value));
    if (!ok) return Broken(fmt::format("bad entry at offset {}", begin));
    if (!key_groups.Contains(static_cast<int>(group))) continue;

    const StateTable::Mapping& mapping = table[state];
    composed.clear();
    ComposeKey(static_cast<int>(group), mapping.state, key, sub_key, composed);
    if (schema == 0) {
      if (auto at = base.find(composed); at != base.end()) base.erase(at);
    } else {
      base.insert_or_assign(composed, Entry{std::string(value), mapping.schemas[schema - 1]});
    }
  }
  return absl::OkStatus();
}

}  // namespace weir::heap
