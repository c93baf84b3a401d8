#include "state/heap_tiers.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/codec.h"

namespace weir::heap {
namespace {

constexpr std::string_view kMagic = "weir heap-keyed/1\n";

void PutUint16(int value, std::string& out) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

int Uint16At(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]);
}

Status Broken(std::string_view what) {
  return absl::DataLossError(fmt::format("not keyed state: {}", what));
}

bool ReadSchema(ByteReader& in, Schema& schema) {
  std::string_view bytes;
  if (!in.Bytes(bytes)) return false;
  StatusOr<Schema> parsed = Schema::Parse(bytes);
  if (!parsed.ok()) return false;
  schema = *std::move(parsed);
  return true;
}

// A state of a file's table, by its place in `states`.
struct FileState {
  StateId state = 0;
  std::vector<int> schemas;
};

Status ReadFileState(ByteReader& in, std::vector<StateInfo>& states, FileState& file_state) {
  std::string_view name;
  uint64_t has_sub_key, schemas;
  std::optional<Schema> sub_key;
  if (!in.Bytes(name) || !in.Varint(has_sub_key) || has_sub_key > 1) return Broken("bad state");
  if (has_sub_key && !ReadSchema(in, sub_key.emplace())) return Broken("bad schema of a sub-key");

  auto known = std::find_if(states.begin(), states.end(),
                            [&](const StateInfo& state) { return state.name == name; });
  if (known == states.end()) {
    known = states.insert(states.end(), StateInfo{std::string(name), {}, {}, sub_key});
  } else if (known->sub_key.has_value() != sub_key.has_value()) {
    return Broken(fmt::format("state '{}' is a value and a map", name));
  }
  file_state.state = static_cast<StateId>(known - states.begin());

  if (!in.Varint(schemas) || schemas > in.remaining()) return Broken("bad number of schemas");
  for (uint64_t i = 0; i < schemas; ++i) {
    Schema schema;
    if (!ReadSchema(in, schema)) return Broken("bad schema");
    file_state.schemas.push_back(known->FindOrAdd(schema));
  }
  return absl::OkStatus();
}

}  // namespace

int StateInfo::FindOrAdd(const Schema& schema) {
  const std::string text = schema.ToText();
  for (size_t i = 0; i < schemas.size(); ++i) {
    if (schemas[i].ToText() == text) return static_cast<int>(i);
  }
  schemas.push_back(schema);
  in_use.push_back(false);
  return static_cast<int>(schemas.size()) - 1;
}

void ComposePrefix(int group, StateId state, std::string& out) {
  PutUint16(group, out);
  PutUint16(state, out);
}

void ComposeKey(int group, StateId state, std::string_view key, std::string_view sub_key,
                std::string& out) {
  ComposePrefix(group, state, out);
  PutBytes(key, out);
  out.append(sub_key);
}

ComposedKey Decompose(std::string_view composed) {
  ComposedKey parts;
  parts.group = Uint16At(composed, 0);
  parts.state = Uint16At(composed, 2);
  ByteReader in(composed.substr(4));
  in.Bytes(parts.key);
  parts.sub_key = composed.substr(composed.size() - in.remaining());
  return parts;
}

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

FileEncoder::FileEncoder(const std::vector<StateInfo>& states) {
  header_ = kMagic;
  PutVarint(states.size(), header_);
  for (const StateInfo& state : states) {
    PutBytes(state.name, header_);
    PutVarint(state.sub_key ? 1 : 0, header_);
    if (state.sub_key) PutBytes(state.sub_key->Serialize(), header_);
    PutVarint(state.schemas.size(), header_);
    for (const Schema& schema : state.schemas) PutBytes(schema.Serialize(), header_);
  }
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

Status ApplyFile(std::string_view bytes, const KeyGroupRange& key_groups,
                 std::vector<StateInfo>& states, Map& base) {
  if (!bytes.starts_with(kMagic)) return Broken("bad first bytes");
  ByteReader in(bytes.substr(kMagic.size()));
  auto offset = [&] { return bytes.size() - in.remaining(); };

  uint64_t count;
  if (!in.Varint(count) || count > in.remaining()) return Broken("bad number of states");
  std::vector<FileState> table(count);
  for (FileState& file_state : table) {
    WEIR_RETURN_IF_ERROR(ReadFileState(in, states, file_state));
  }

  std::string composed;
  while (!in.done()) {
    const size_t begin = offset();
    uint64_t group, state, schema;
    std::string_view key, sub_key, value;
    bool ok = in.Varint(group) && group < kKeyGroups && in.Varint(state) && state < count &&
              in.Varint(schema) && schema <= table[state].schemas.size() && in.Bytes(key) &&
              in.Bytes(sub_key) && (schema == 0 || in.Bytes(value));
    if (!ok) return Broken(fmt::format("bad entry at offset {}", begin));
    if (!key_groups.Contains(static_cast<int>(group))) continue;

    const FileState& file_state = table[state];
    composed.clear();
    ComposeKey(static_cast<int>(group), file_state.state, key, sub_key, composed);
    if (schema == 0) {
      if (auto at = base.find(composed); at != base.end()) base.erase(at);
    } else {
      base.insert_or_assign(composed, Entry{std::string(value), file_state.schemas[schema - 1]});
    }
  }
  return absl::OkStatus();
}

}  // namespace weir::heap
