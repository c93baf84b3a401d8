// StateTable: the named states of a keyed store, the schemas that their values were and are
// written with, and how an entry's key is laid out. What every backend of keyed state shares.
//
// A composed key is [key group: 2 bytes][state: 2][length of the key: varint][key][sub-key], so
// that the entries of a group, of a state in it and of a key in that stand together.
//
// Internal to state/. Used by one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec.h"
#include "state/keyed_store.h"

namespace weir {

void ComposeKey(int group, StateId state, std::string_view key, std::string_view sub_key,
                std::string& out);
// What the composed keys of a state in a group begin with.
void ComposePrefix(int group, StateId state, std::string& out);

struct ComposedKey {
  int group = 0;
  StateId state = 0;
  std::string_view key;
  std::string_view sub_key;
};
// REQUIRES: ComposeKey() made it; see IsComposedKey() for bytes that come from a file.
ComposedKey Decompose(std::string_view composed);
bool IsComposedKey(std::string_view bytes);

class StateTable {
 public:
  struct State {
    std::string name;
    std::vector<Schema> schemas;  // of the values; grows only
    std::vector<bool> in_use;     // of these, whether entries or the registration have it
    std::optional<Schema> sub_key;
    int registered = -1;  // index of `schemas`; -1: restored, and not registered so far

    int FindOrAdd(const Schema& schema);
  };

  // As KeyedStore::Register(). `stage` is for messages.
  StatusOr<StateId> Register(std::string_view stage, std::string name, Schema value,
                             std::optional<Schema> sub_key);

  size_t size() const { return states_.size(); }
  State& operator[](StateId id) { return states_[static_cast<size_t>(id)]; }
  const State& operator[](StateId id) const { return states_[static_cast<size_t>(id)]; }

  // The schema with which `schema` says that bytes of the state were written, if it is not the
  // registered one; else null. As KeyedStore::written_schema().
  const Schema* Written(StateId id, int schema) const;

  void Encode(std::string& out) const;
  // Where a table that was read has its states and their schemas here.
  struct Mapping {
    StateId state = 0;
    std::vector<int> schemas;
  };
  // Reads what Encode() wrote and adds what is not known yet. DataLoss if it is no such thing.
  StatusOr<std::vector<Mapping>> Merge(ByteReader& in);

  // For StateSnapshot::schemas.
  std::vector<StateSchema> Describe() const;

 private:
  StatusOr<Mapping> MergeOne(ByteReader& in);
  Status CheckCompatible(std::string_view stage, const State& written, const Schema& value,
                         const std::optional<Schema>& sub_key) const;

  std::vector<State> states_;
};

}  // namespace weir
