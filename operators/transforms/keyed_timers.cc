#include "operators/transforms/keyed_timers.h"

namespace weir::internal {
namespace {

// No name that a user would choose.
constexpr const char* kStateName = "weir.timers";

}  // namespace

Status KeyedTimers::Open(KeyedStore& store) {
  WEIR_ASSIGN_OR_RETURN(timers_, decltype(timers_)::Register(store, kStateName));
  return timers_.ForEachKey(
      [this](std::string_view key, std::tuple<TimerKind, Timestamp> timer, bool) {
        index(std::get<0>(timer))
            .insert({std::get<1>(timer), MakeStateKey(key).hash, std::string(key)});
        return true;
      });
}

Status KeyedTimers::Set(TimerKind kind, const StateKey& key, Timestamp time) {
  WEIR_RETURN_IF_ERROR(timers_.Put(key, {kind, time}, true));
  changes_.push_back({kind, true, {time, key.hash, std::string(key.bytes)}});
  return absl::OkStatus();
}

Status KeyedTimers::Remove(TimerKind kind, const StateKey& key, Timestamp time) {
  WEIR_RETURN_IF_ERROR(timers_.Remove(key, {kind, time}));
  changes_.push_back({kind, false, {time, key.hash, std::string(key.bytes)}});
  return absl::OkStatus();
}

void KeyedTimers::Commit() {
  for (Change& change : changes_) {
    Index& timers = index(change.kind);
    if (change.set) {
      timers.insert(std::move(change.timer));
    } else {
      timers.erase(change.timer);
    }
  }
  changes_.clear();
}

const KeyedTimers::Timer* KeyedTimers::Due(TimerKind kind, Timestamp until) const {
  const Index& timers = index(kind);
  return timers.empty() || timers.begin()->time > until ? nullptr : &*timers.begin();
}

void KeyedTimers::DueKeys(TimerKind kind, Timestamp until, size_t most,
                          std::vector<StateKey>& keys) const {
  keys.clear();
  for (const Timer& timer : index(kind)) {
    if (timer.time > until || keys.size() == most) return;
    keys.push_back(timer.state_key());
  }
}

std::optional<Timestamp> KeyedTimers::earliest(TimerKind kind) const {
  const Index& timers = index(kind);
  return timers.empty() ? std::nullopt : std::optional(timers.begin()->time);
}

}  // namespace weir::internal
