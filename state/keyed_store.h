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

#include "core/environment.h"
#include "core/limits.h"
#include "core/schema.h"
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

struct StateOptions {
  // An entry that was not written for so long, by the wall clock, counts as absent; 0: it stays.
  Duration ttl = 0;
};

// InvalidArgument, with what the user can do, for a key, a sub-key or a value beyond its limit.
Status CheckStateSizes(std::string_view state, const StateKey& key, std::string_view sub_key,
                       std::string_view value);

class KeyedStore {
 public:
  virtual ~KeyedStore() = default;

  // Called during Open(), once per state. `value` (and `sub_key` of a map state) are written into
  // checkpoints. FailedPrecondition if the restored state has a schema that cannot be read as
  // these; it names state and field. Values written with an older schema come back from Get() as
  // they were written: written_schema() tells how.
  virtual StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                                     StateOptions options) = 0;
  // The schema of the bytes that the last Get() returned, or that a visitor is being shown, if they
  // were written with another schema than the registered one; else null. Values of both kinds stand
  // side by side until the old ones are written anew.
  virtual const Schema* written_schema(StateId state) const = 0;

  // Asked in front of each batch, and of the timers that fire. False: as much as may be waits to be
  // written; the store's `wake` will be called. An error is a write's that failed.
  virtual StatusOr<bool> Ready() { return true; }
  virtual Status Prefetch(StateId state, std::span<const StateKey> keys) = 0;
  // The view is valid until the next call of the store.
  virtual StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                        std::string_view sub_key) = 0;
  virtual Status Put(StateId state, const StateKey& key, std::string_view sub_key,
                     std::string_view value) = 0;
  virtual Status Delete(StateId state, const StateKey& key, std::string_view sub_key) = 0;
  // Calls visit(sub_key, value) for the entries of a key whose sub_key is not less than `from`,
  // ordered by sub_key, until it returns false. The store must not be changed meanwhile.
  using EntryVisitor = std::function<bool(std::string_view sub_key, std::string_view value)>;
  virtual Status Scan(StateId state, const StateKey& key, std::string_view from,
                      const EntryVisitor& visit) = 0;
  // The same for every key of the state, in order of key group.
  using KeyVisitor =
      std::function<bool(std::string_view key, std::string_view sub_key, std::string_view value)>;
  virtual Status ScanAll(StateId state, const KeyVisitor& visit) = 0;

  // Under a millisecond whatever the size of the state. At most one frozen generation is out at a
  // time.
  virtual std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) = 0;
  // What the store holds in memory and on disk, for metrics.
  virtual uint64_t bytes() const = 0;
  // Of these, what it holds in memory.
  virtual uint64_t memory_bytes() const = 0;
};

struct KeyedStoreOptions {
  std::string stage;         // for messages
  KeyGroupRange key_groups;  // keys outside are not restored
};

// The formats of the two backends' snapshots.
inline constexpr std::string_view kHeapKeyedFormat = "heap-keyed/1";
inline constexpr std::string_view kRocksKeyedFormat = "rocks-keyed/1";

// All state in memory, for little of it: the splits of a source. No TTL. Checkpoints are
// incremental: what changed since the last one, and everything anew once the changes outweigh it.
StatusOr<std::unique_ptr<KeyedStore>> MakeHeapKeyedStore(const KeyedStoreOptions& options,
                                                         const Restore& restore);

struct RocksKeyedStoreOptions {
  std::string stage;         // for messages
  KeyGroupRange key_groups;  // keys outside are not restored
  std::string local_dir;     // does not exist; removed by its owner after the attempt
  Environment* env = nullptr;
  std::function<void()> wake;  // called, from any thread, when Ready() may have become true
  // What the store may hold in memory. It may hold more for as long as a write is under way.
  size_t memory_bytes = limits::kInstanceBytesDefault;
};

// State of any size: the newest and the most recently used of it in memory, all of it in RocksDB.
// Checkpoints are incremental. The destructor waits for a write that is under way; frozen
// generations may outlive the store.
StatusOr<std::unique_ptr<KeyedStore>> MakeRocksKeyedStore(RocksKeyedStoreOptions options,
                                                          const Restore& restore);

}  // namespace weir
