// KeyedTimers: the timers that user code has set for its keys. They are keyed state like any other:
// checkpointed, and dealt out anew when the parallelism changes.
//
// What a row sets and removes takes effect with Commit(), together with the row's writes. An index
// of all timers by time is kept in memory, about 100 bytes for each.
//
// Used by the one task that owns the operator. Internal to operators/.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_set.h"
#include "operators/operator.h"
#include "state/keyed_state.h"

namespace weir::internal {

class KeyedTimers {
 public:
  struct Timer {
    Timestamp time = 0;
    uint64_t hash = 0;  // of the key
    std::string key;
    auto operator<=>(const Timer&) const = default;

    StateKey state_key() const { return {hash, key}; }
  };

  // Registers the timers' state and reads what was restored. The store outlives the object.
  Status Open(KeyedStore& store);

  Status Set(TimerKind kind, const StateKey& key, Timestamp time);
  Status Remove(TimerKind kind, const StateKey& key, Timestamp time);
  void Commit();
  void Abort() { changes_.clear(); }

  // The earliest timer, if it is at or before `until`; valid until the next Commit().
  const Timer* Due(TimerKind kind, Timestamp until) const;
  std::optional<Timestamp> earliest(TimerKind kind) const;
  // The keys of the first timers that are due, `most` of them; valid until the next Commit().
  void DueKeys(TimerKind kind, Timestamp until, size_t most, std::vector<StateKey>& keys) const;

 private:
  struct Change {
    TimerKind kind;
    bool set;
    Timer timer;
  };
  using Index = absl::btree_set<Timer>;

  Index& index(TimerKind kind) { return kind == TimerKind::kEventTime ? event_ : processing_; }
  const Index& index(TimerKind kind) const {
    return kind == TimerKind::kEventTime ? event_ : processing_;
  }

  MapState<std::tuple<TimerKind, Timestamp>, bool> timers_;
  Index event_;
  Index processing_;
  std::vector<Change> changes_;  // of the row under way
};

}  // namespace weir::internal
