#include "state/state_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "state/state_description.h"

namespace weir {
namespace {

constexpr size_t kStatesMax = 1 << 15;
constexpr size_t kPrefixBytes = 4;

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

}  // namespace

void ComposePrefix(int group, StateId state, std::string& out) {
  PutUint16(group, out);
  PutUint16(state, out);
}

void ComposeKey(int group, StateId state, std::string_view key, std::string_view sub_key,
                std::string& out) {
  const size_t begin = out.size();
  // Room for the longest length, which is cut off again.
  out.resize(begin + kPrefixBytes + 10 + key.size() + sub_key.size());
  char* to = out.data() + begin;
  *to++ = static_cast<char>(group >> 8);
  *to++ = static_cast<char>(group);
  *to++ = static_cast<char>(state >> 8);
  *to++ = static_cast<char>(state);
  uint64_t length = key.size();
  for (; length >= 0x80; length >>= 7) *to++ = static_cast<char>(length | 0x80);
  *to++ = static_cast<char>(length);
  to = std::copy(key.begin(), key.end(), to);
  to = std::copy(sub_key.begin(), sub_key.end(), to);
  out.resize(static_cast<size_t>(to - out.data()));
}

ComposedKey Decompose(std::string_view composed) {
  ComposedKey parts;
  parts.group = Uint16At(composed, 0);
  parts.state = Uint16At(composed, 2);
  ByteReader in(composed.substr(kPrefixBytes));
  in.Bytes(parts.key);
  parts.sub_key = composed.substr(composed.size() - in.remaining());
  return parts;
}

bool IsComposedKey(std::string_view bytes) {
  if (bytes.size() < kPrefixBytes) return false;
  ByteReader in(bytes.substr(kPrefixBytes));
  std::string_view key;
  return in.Bytes(key);
}

int StateTable::State::FindOrAdd(const Schema& schema) {
  const std::string text = schema.ToText();
  for (size_t i = 0; i < schemas.size(); ++i) {
    if (schemas[i].ToText() == text) return static_cast<int>(i);
  }
  schemas.push_back(schema);
  in_use.push_back(false);
  return static_cast<int>(schemas.size()) - 1;
}

StatusOr<StateId> StateTable::Register(std::string_view stage, std::string name, Schema value,
                                       std::optional<Schema> sub_key) {
  auto known = std::find_if(states_.begin(), states_.end(),
                            [&](const State& state) { return state.name == name; });
  if (known == states_.end()) {
    if (states_.size() == kStatesMax) {
      return absl::InvalidArgumentError(
          fmt::format("stage '{}': more than {} states", stage, kStatesMax));
    }
    known = states_.insert(states_.end(), State{std::move(name), {}, {}, sub_key});
  } else if (known->registered >= 0) {
    return absl::InvalidArgumentError(
        fmt::format("stage '{}': state '{}' is registered twice", stage, known->name));
  } else {
    WEIR_RETURN_IF_ERROR(CheckCompatible(stage, *known, value, sub_key));
  }
  known->sub_key = std::move(sub_key);
  known->registered = known->FindOrAdd(value);
  known->in_use[static_cast<size_t>(known->registered)] = true;
  return static_cast<StateId>(known - states_.begin());
}

Status StateTable::CheckCompatible(std::string_view stage, const State& written,
                                   const Schema& value,
                                   const std::optional<Schema>& sub_key) const {
  std::vector<Schema> in_use;
  for (size_t i = 0; i < written.schemas.size(); ++i) {
    if (written.in_use[i]) in_use.push_back(written.schemas[i]);
  }
  std::vector<std::string> reasons;
  for (const FieldChange& change :
       CompareKeyedState(in_use, written.sub_key, {written.name, value, sub_key})) {
    if (change.kind != FieldChange::Kind::kIncompatible) continue;
    reasons.push_back(fmt::format("{}: {}", change.path, change.text));
  }
  if (reasons.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "stage '{}', state '{}': the checkpoint does not fit: {}; give the changed state another "
      "name, or go on with the job that wrote it",
      stage, written.name, fmt::join(reasons, "; ")));
}

const Schema* StateTable::Written(StateId id, int schema) const {
  const State& state = (*this)[id];
  if (schema < 0 || schema == state.registered) return nullptr;
  return &state.schemas[static_cast<size_t>(schema)];
}

void StateTable::Encode(std::string& out) const {
  PutVarint(states_.size(), out);
  for (const State& state : states_) {
    PutBytes(state.name, out);
    PutVarint(state.sub_key ? 1 : 0, out);
    if (state.sub_key) PutBytes(state.sub_key->Serialize(), out);
    PutVarint(state.schemas.size(), out);
    for (const Schema& schema : state.schemas) PutBytes(schema.Serialize(), out);
  }
}

StatusOr<std::vector<StateTable::Mapping>> StateTable::Merge(ByteReader& in) {
  uint64_t count;
  if (!in.Varint(count) || count > in.remaining()) return Broken("bad number of states");
  std::vector<Mapping> mappings(count);
  for (Mapping& mapping : mappings) {
    WEIR_ASSIGN_OR_RETURN(mapping, MergeOne(in));
  }
  return mappings;
}

StatusOr<StateTable::Mapping> StateTable::MergeOne(ByteReader& in) {
  std::string_view name;
  uint64_t has_sub_key, schemas;
  std::optional<Schema> sub_key;
  if (!in.Bytes(name) || !in.Varint(has_sub_key) || has_sub_key > 1) return Broken("bad state");
  if (has_sub_key && !ReadSchema(in, sub_key.emplace())) return Broken("bad schema of a sub-key");

  auto known = std::find_if(states_.begin(), states_.end(),
                            [&](const State& state) { return state.name == name; });
  if (known == states_.end()) {
    if (states_.size() == kStatesMax) return Broken("too many states");
    known = states_.insert(states_.end(), State{std::string(name), {}, {}, sub_key});
  } else if (known->sub_key.has_value() != sub_key.has_value()) {
    return Broken(fmt::format("state '{}' is a value and a map", name));
  }
  Mapping mapping{static_cast<StateId>(known - states_.begin()), {}};
  if (!in.Varint(schemas) || schemas > in.remaining()) return Broken("bad number of schemas");
  for (uint64_t i = 0; i < schemas; ++i) {
    Schema schema;
    if (!ReadSchema(in, schema)) return Broken("bad schema");
    mapping.schemas.push_back(known->FindOrAdd(schema));
  }
  return mapping;
}

std::vector<StateSchema> StateTable::Describe() const {
  std::vector<StateSchema> described;
  for (const State& state : states_) {
    for (size_t i = 0; i < state.schemas.size(); ++i) {
      if (state.in_use[i]) described.push_back({state.name, state.schemas[i]});
    }
    if (state.sub_key) described.push_back({SubKeyName(state.name), *state.sub_key});
  }
  return described;
}

}  // namespace weir
