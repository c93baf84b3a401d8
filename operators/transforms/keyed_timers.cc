#include "operators/transforms/keyed_timers.h"

#include <algorithm>
#include <array>

namespace weir::internal {
namespace {

constexpr size_t kLeast = limits::kTimersAheadPerGroup;

// For each key group the first of the texts "0", "1", ... that belongs to it: the key under which
// the group's timers stand. Part of the format of checkpoints.
const std::array<std::string, kKeyGroups>& GroupKeys() {
  static const auto* const keys = [] {
    auto* found = new std::array<std::string, kKeyGroups>();
    for (int missing = kKeyGroups, n = 0; missing > 0; ++n) {
      std::string text = std::to_string(n);
      std::string& key = (*found)[static_cast<size_t>(KeyGroupOf(MakeStateKey(text).hash))];
      if (!key.empty()) continue;
      key = std::move(text);
      --missing;
    }
    return found;
  }();
  return *keys;
}

StateKey KeyOf(int group) { return MakeStateKey(GroupKeys()[static_cast<size_t>(group)]); }

}  // namespace

Status KeyedTimers::Queue::Open(KeyedStore& store, const char* name, KeyGroupRange key_groups) {
  WEIR_ASSIGN_OR_RETURN(timers_, decltype(timers_)::Register(store, name));
  key_groups_ = key_groups;
  groups_.resize(static_cast<size_t>(key_groups.last - key_groups.first));
  for (Group& group : groups_) {
    group.end.emplace(kMinTimestamp, "");
    WEIR_RETURN_IF_ERROR(ReadAhead(group));
  }
  return absl::OkStatus();
}

Status KeyedTimers::Queue::Put(const StateKey& key, Timestamp time) {
  return timers_.Put(KeyOf(KeyGroupOf(key.hash)), {time, std::string(key.bytes)}, true);
}

Status KeyedTimers::Queue::Remove(const StateKey& key, Timestamp time) {
  return timers_.Remove(KeyOf(KeyGroupOf(key.hash)), {time, std::string(key.bytes)});
}

template <class Edit>
void KeyedTimers::Queue::Update(Group& group, Edit edit) {
  const auto first = [&] {
    return group.ahead.empty() ? std::nullopt : std::optional(group.ahead.begin()->time);
  };
  const std::optional<Timestamp> before = first();
  edit();
  const std::optional<Timestamp> after = first();
  if (before == after) return;
  if (before) firsts_.erase({*before, NumberOf(group)});
  if (after) firsts_.insert({*after, NumberOf(group)});
}

void KeyedTimers::Queue::Add(Timer timer) {
  Group& group = GroupOf(timer);
  if (group.end && std::tie(timer.time, timer.key) >= *group.end) return;
  Update(group, [&] {
    group.ahead.insert(std::move(timer));
    if (group.ahead.size() <= 2 * group.ahead_max) return;
    const auto cut = std::next(group.ahead.begin(), static_cast<ptrdiff_t>(group.ahead_max));
    group.end.emplace(cut->time, cut->key);
    group.ahead.erase(cut, group.ahead.end());
  });
}

Status KeyedTimers::Queue::Erase(const Timer& timer) {
  Group& group = GroupOf(timer);
  Update(group, [&] { group.ahead.erase(timer); });
  if (!group.ahead.empty() || !group.end) return absl::OkStatus();
  // A group that fires one after the other is read in longer stretches.
  if (extra_ + group.ahead_max + kLeast * groups_.size() <= limits::kTimersAheadMax) {
    extra_ += group.ahead_max;
    group.ahead_max *= 2;
  }
  WEIR_RETURN_IF_ERROR(ReadAhead(group));
  if (!group.end) extra_ -= std::exchange(group.ahead_max, kLeast) - kLeast;
  return absl::OkStatus();
}

// REQUIRES: group.ahead is empty and group.end is set.
Status KeyedTimers::Queue::ReadAhead(Group& group) {
  const std::tuple<Timestamp, std::string> from = *std::move(group.end);
  group.end.reset();
  std::vector<Timer> read;
  WEIR_RETURN_IF_ERROR(timers_.ForEachFrom(KeyOf(NumberOf(group)), from,
                                           [&](std::tuple<Timestamp, std::string> timer, bool) {
                                             auto& [time, key] = timer;
                                             if (read.size() == group.ahead_max) {
                                               group.end.emplace(time, std::move(key));
                                               return false;
                                             }
                                             const uint64_t hash = MakeStateKey(key).hash;
                                             read.push_back({time, std::move(key), hash});
                                             return true;
                                           }));
  Update(group, [&] { group.ahead.insert(read.begin(), read.end()); });
  return absl::OkStatus();
}

const KeyedTimers::Timer* KeyedTimers::Queue::first() const {
  if (firsts_.empty()) return nullptr;
  const int group = firsts_.begin()->second;
  return &*groups_[static_cast<size_t>(group - key_groups_.first)].ahead.begin();
}

void KeyedTimers::Queue::FirstKeys(Timestamp until, size_t most,
                                   std::vector<StateKey>& keys) const {
  // The next of each group, the earliest on top.
  using Next = std::pair<absl::btree_set<Timer>::const_iterator, const Group*>;
  const auto later = [](const Next& a, const Next& b) { return *b.first < *a.first; };
  std::vector<Next> heap;
  for (const auto& [time, number] : firsts_) {
    if (time > until || heap.size() == most) break;
    const Group& group = groups_[static_cast<size_t>(number - key_groups_.first)];
    heap.emplace_back(group.ahead.begin(), &group);
  }
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty() && keys.size() < most) {
    std::pop_heap(heap.begin(), heap.end(), later);
    auto& [next, group] = heap.back();
    keys.push_back(next->state_key());
    if (++next != group->ahead.end() && next->time <= until) {
      std::push_heap(heap.begin(), heap.end(), later);
    } else {
      heap.pop_back();
    }
  }
}

Status KeyedTimers::Open(KeyedStore& store, KeyGroupRange key_groups) {
  // No names that a user would choose.
  WEIR_RETURN_IF_ERROR(event_.Open(store, "weir.timers.event", key_groups));
  return processing_.Open(store, "weir.timers.processing", key_groups);
}

Status KeyedTimers::Set(TimerKind kind, const StateKey& key, Timestamp time) {
  WEIR_RETURN_IF_ERROR(queue(kind).Put(key, time));
  changes_.push_back({kind, true, {time, std::string(key.bytes), key.hash}});
  return absl::OkStatus();
}

Status KeyedTimers::Remove(TimerKind kind, const StateKey& key, Timestamp time) {
  WEIR_RETURN_IF_ERROR(queue(kind).Remove(key, time));
  changes_.push_back({kind, false, {time, std::string(key.bytes), key.hash}});
  return absl::OkStatus();
}

Status KeyedTimers::Commit() {
  for (Change& change : changes_) {
    Queue& timers = queue(change.kind);
    if (change.set) {
      timers.Add(std::move(change.timer));
    } else {
      WEIR_RETURN_IF_ERROR(timers.Erase(change.timer));
    }
  }
  changes_.clear();
  return absl::OkStatus();
}

const KeyedTimers::Timer* KeyedTimers::Due(TimerKind kind, Timestamp until) const {
  const Timer* first = queue(kind).first();
  return first == nullptr || first->time > until ? nullptr : first;
}

void KeyedTimers::DueKeys(TimerKind kind, Timestamp until, size_t most,
                          std::vector<StateKey>& keys) const {
  keys.clear();
  queue(kind).FirstKeys(until, most, keys);
}

std::optional<Timestamp> KeyedTimers::earliest(TimerKind kind) const {
  const Timer* first = queue(kind).first();
  return first == nullptr ? std::nullopt : std::optional(first->time);
}

}  // namespace weir::internal
