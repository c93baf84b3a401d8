// KeyedStore: the keyed state of one operator instance, as bytes. What user code sees is typed, in
// state/keyed_state.h.
//
// A store holds named states; each maps a key (of one key group) and, for map states, a sub-key to
// a value. Used by the one task that owns it; what Freeze() returns is written on the I/O pool
// meanwhile. The driver prefetches a batch's keys with one call; Get() of a prefetched key does not
// touch a disk.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/status.h"
#include "state/snapshot.h"

namespace weir {

// The bytes of a key and their Hash64, whose high bits are its key group.
struct StateKey {
  uint64_t hash = 0;
  std::string_view bytes;
};
StateKey MakeStateKey(std::string_view bytes);

using StateId = int;

class KeyedStore {
 public:
  virtual ~KeyedStore() = default;

  // Called during Open(), once per state. `value` (and `sub_key` of a map state) are written into
  // checkpoints. FailedPrecondition if the restored state has a schema that cannot be read as
  // these; it names state and field. Values written with an older schema come back from Get() as
  // they were written: written_schema() tells how.
  virtual StatusOr<StateId> Register(std::string name, Schema value,
                                     std::optional<Schema> sub_key) = 0;
  // The schema of the bytes that the last Get() returned, or that a visitor is being shown, if they
  // were written with another schema than the registered one; else null. Values of both kinds stand
  // side by side until the old ones are written anew.
  virtual const Schema* written_schema(StateId state) const = 0;

  virtual Status Prefetch(StateId state, std::span<const StateKey> keys) = 0;
  // The view is valid until the next call that changes the store.
  virtual StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                        std::string_view sub_key) = 0;
  virtual Status Put(StateId state, const StateKey& key, std::string_view sub_key,
                     std::string_view value) = 0;
  virtual Status Delete(StateId state, const StateKey& key, std::string_view sub_key) = 0;
  // Calls visit(sub_key, value) for all entries of a key, ordered by sub_key, until it returns
  // false. The store must not be changed meanwhile.
  using EntryVisitor = std::function<bool(std::string_view sub_key, std::string_view value)>;
  virtual Status Scan(StateId state, const StateKey& key, const EntryVisitor& visit) = 0;
  // The same for every key of the state, in order of key group.
  using KeyVisitor =
      std::function<bool(std::string_view key, std::string_view sub_key, std::string_view value)>;
  virtual Status ScanAll(StateId state, const KeyVisitor& visit) = 0;

  // Under a millisecond whatever the size of the state. At most one frozen generation is out at a
  // time.
  virtual std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) = 0;
  // What the store holds in memory or on disk, for metrics.
  virtual uint64_t bytes() const = 0;
};

struct KeyedStoreOptions {
  std::string stage;         // for messages
  KeyGroupRange key_groups;  // keys outside are not restored
};

// All state in memory. Checkpoints are incremental: what changed since the last one, and everything
// anew once the changes outweigh it.
StatusOr<std::unique_ptr<KeyedStore>> MakeHeapKeyedStore(const KeyedStoreOptions& options,
                                                         const Restore& restore);

}  // namespace weir
