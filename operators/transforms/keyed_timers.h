// KeyedTimers: the timers that user code has set for its keys. They are keyed state like any other:
// checkpointed, dealt out anew when the parallelism changes, and as many as the state may hold.
//
// Each kind of timer is a map state whose one key per key group has the timers of all keys of the
// group, ordered by their times. In memory stand only the next ones of each key group
// (limits::kTimersAheadPerGroup, or more of a group that fires many, but kTimersAheadMax at most of
// all); the others are read as these have fired.
//
// What a row sets and removes takes effect with Commit(), together with the row's writes. Used by
// the one task that owns the operator. Internal to operators/.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "operators/operator.h"
#include "state/keyed_state.h"

namespace weir::internal {

class KeyedTimers {
 public:
  struct Timer {
    Timestamp time = 0;
    std::string key;
    uint64_t hash = 0;  // of the key
    auto operator<=>(const Timer&) const = default;

    StateKey state_key() const { return {hash, key}; }
  };

  // Registers the timers' states and reads the next of those that were restored. The store outlives
  // the object.
  Status Open(KeyedStore& store, KeyGroupRange key_groups);

  Status Set(TimerKind kind, const StateKey& key, Timestamp time);
  Status Remove(TimerKind kind, const StateKey& key, Timestamp time);
  // After the row's writes have reached the store. An error is the store's.
  Status Commit();
  void Abort() { changes_.clear(); }

  // The earliest timer, if it is at or before `until`; valid until the next Commit().
  const Timer* Due(TimerKind kind, Timestamp until) const;
  std::optional<Timestamp> earliest(TimerKind kind) const;
  // The keys of the first timers that are due, `most` of them, as far as they are in memory; valid
  // until the next Commit().
  void DueKeys(TimerKind kind, Timestamp until, size_t most, std::vector<StateKey>& keys) const;

 private:
  // The timers of one kind.
  class Queue {
   public:
    Status Open(KeyedStore& store, const char* name, KeyGroupRange key_groups);
    Status Put(const StateKey& key, Timestamp time);
    Status Remove(const StateKey& key, Timestamp time);
    // What was put or removed has reached the store.
    void Add(Timer timer);
    Status Erase(const Timer& timer);

    const Timer* first() const;
    void FirstKeys(Timestamp until, size_t most, std::vector<StateKey>& keys) const;

   private:
    // Of one key group.
    struct Group {
      absl::btree_set<Timer> ahead;                           // all that are before `end`
      std::optional<std::tuple<Timestamp, std::string>> end;  // none: there are no others
      size_t ahead_max = limits::kTimersAheadPerGroup;  // read at once, and half of what is kept
    };

    Group& GroupOf(const Timer& timer) {
      return groups_[static_cast<size_t>(KeyGroupOf(timer.hash) - key_groups_.first)];
    }
    int NumberOf(const Group& group) const {
      return key_groups_.first + static_cast<int>(&group - groups_.data());
    }
    // Makes a change of a group that keeps the index of first timers right.
    template <class Edit>
    void Update(Group& group, Edit edit);
    Status ReadAhead(Group& group);

    MapState<std::tuple<Timestamp, std::string>, bool> timers_;
    KeyGroupRange key_groups_;
    std::vector<Group> groups_;
    size_t extra_ = 0;  // by which the ahead_max of all groups are above the least
    absl::btree_set<std::pair<Timestamp, int>> firsts_;  // of each group that has any: time, group
  };

  struct Change {
    TimerKind kind;
    bool set;
    Timer timer;
  };

  Queue& queue(TimerKind kind) { return kind == TimerKind::kEventTime ? event_ : processing_; }
  const Queue& queue(TimerKind kind) const {
    return kind == TimerKind::kEventTime ? event_ : processing_;
  }

  Queue event_;
  Queue processing_;
  std::vector<Change> changes_;  // of the row under way
};

}  // namespace weir::internal
