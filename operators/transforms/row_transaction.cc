#include "operators/transforms/row_transaction.h"

#include <algorithm>
#include <tuple>

#include "core/codec.h"
#include "core/hash.h"

namespace weir::internal {
namespace {

// Up to so many writes, looking at each beats an index.
constexpr size_t kLinearMax = 16;

std::string IndexKey(StateId state, std::string_view key, std::string_view sub_key) {
  std::string text;
  PutVarint(static_cast<uint64_t>(state), text);
  PutBytes(key, text);
  text.append(sub_key);
  return text;
}

}  // namespace

Status RowTransaction::Note(Status status) {
  if (!status.ok() && failure_.ok()) failure_ = status;
  return status;
}

RowTransaction::Write* RowTransaction::Find(StateId state, std::string_view key,
                                            std::string_view sub_key) {
  if (used_ > kLinearMax) {
    auto it = index_.find(IndexKey(state, key, sub_key));
    return it == index_.end() ? nullptr : &writes_[it->second];
  }
  for (size_t i = 0; i < used_; ++i) {
    Write& w = writes_[i];
    if (w.state == state && w.key == key && w.sub_key == sub_key) return &w;
  }
  return nullptr;
}

RowTransaction::Write& RowTransaction::FindOrAdd(StateId state, const StateKey& key,
                                                 std::string_view sub_key) {
  if (Write* found = Find(state, key.bytes, sub_key)) return *found;
  if (used_ == writes_.size()) writes_.emplace_back();
  Write& w = writes_[used_++];
  w.state = state;
  w.hash = key.hash;
  w.key.assign(key.bytes);
  w.sub_key.assign(sub_key);
  const size_t first = used_ == kLinearMax + 1 ? 0 : used_ - 1;
  for (size_t i = first; used_ > kLinearMax && i < used_; ++i) {
    index_.emplace(IndexKey(writes_[i].state, writes_[i].key, writes_[i].sub_key), i);
  }
  return w;
}

Status RowTransaction::Put(StateId state, const StateKey& key, std::string_view sub_key,
                           std::string_view value) {
  // The row's fault, so the store below never sees it.
  WEIR_RETURN_IF_ERROR(CheckStateSizes(names_[static_cast<size_t>(state)], key, sub_key, value));
  Write& w = FindOrAdd(state, key, sub_key);
  w.value.assign(value);
  w.deleted = false;
  return absl::OkStatus();
}

Status RowTransaction::Delete(StateId state, const StateKey& key, std::string_view sub_key) {
  WEIR_RETURN_IF_ERROR(CheckStateSizes(names_[static_cast<size_t>(state)], key, sub_key, {}));
  FindOrAdd(state, key, sub_key).deleted = true;
  return absl::OkStatus();
}

Status RowTransaction::Commit() {
  for (size_t i = 0; i < used_ && failure_.ok(); ++i) {
    const Write& w = writes_[i];
    const StateKey key{w.hash, w.key};
    Note(w.deleted ? below_.Delete(w.state, key, w.sub_key)
                   : below_.Put(w.state, key, w.sub_key, w.value))
        .IgnoreError();  // it is in failure_
  }
  Abort();
  return failure_;
}

void RowTransaction::Abort() {
  // One row with large writes does not keep their memory for ever.
  if (used_ > kLinearMax) {
    index_.clear();
    writes_.clear();
  }
  used_ = 0;
  own_value_ = false;
}

StatusOr<StateId> RowTransaction::Register(std::string name, Schema value,
                                           std::optional<Schema> sub_key, StateOptions options) {
  WEIR_ASSIGN_OR_RETURN(StateId id,
                        below_.Register(name, std::move(value), std::move(sub_key), options));
  states_.push_back(id);
  names_.resize(std::max(names_.size(), static_cast<size_t>(id) + 1));
  names_[static_cast<size_t>(id)] = std::move(name);
  return id;
}

const Schema* RowTransaction::written_schema(StateId state) const {
  return own_value_ ? nullptr : below_.written_schema(state);
}

StatusOr<bool> RowTransaction::Ready() {
  StatusOr<bool> ready = below_.Ready();
  if (!ready.ok()) return Note(ready.status());
  return ready;
}

Status RowTransaction::Prefetch(StateId state, std::span<const StateKey> keys) {
  return Note(below_.Prefetch(state, keys));
}

Status RowTransaction::PrefetchAll(std::span<const StateKey> keys) {
  for (StateId state : states_) WEIR_RETURN_IF_ERROR(Prefetch(state, keys));
  return absl::OkStatus();
}

StatusOr<std::optional<std::string_view>> RowTransaction::Get(StateId state, const StateKey& key,
                                                              std::string_view sub_key) {
  // The row's fault, as in Put().
  WEIR_RETURN_IF_ERROR(CheckStateSizes(names_[static_cast<size_t>(state)], key, sub_key, {}));
  const Write* own = Find(state, key.bytes, sub_key);
  own_value_ = own != nullptr;
  if (own_value_) {
    return own->deleted ? std::nullopt : std::optional<std::string_view>(own->value);
  }
  auto value = below_.Get(state, key, sub_key);
  if (!value.ok()) return Note(value.status());
  return value;
}

std::vector<const RowTransaction::Write*> RowTransaction::Sorted(StateId state,
                                                                 const StateKey* key) const {
  std::vector<const Write*> found;
  for (size_t i = 0; i < used_; ++i) {
    const Write& w = writes_[i];
    if (w.state == state && (key == nullptr || w.key == key->bytes)) found.push_back(&w);
  }
  std::sort(found.begin(), found.end(), [](const Write* a, const Write* b) {
    return std::forward_as_tuple(KeyGroupOf(a->hash), a->key, a->sub_key) <
           std::forward_as_tuple(KeyGroupOf(b->hash), b->key, b->sub_key);
  });
  return found;
}

Status RowTransaction::Scan(StateId state, const StateKey& key, std::string_view from,
                            const EntryVisitor& visit) {
  WEIR_RETURN_IF_ERROR(CheckStateSizes(names_[static_cast<size_t>(state)], key, {}, {}));
  std::vector<const Write*> own = Sorted(state, &key);
  std::erase_if(own, [&](const Write* w) { return w->sub_key < from; });
  size_t next = 0;
  bool go_on = true;
  auto visit_own = [&](const Write& w) {
    own_value_ = true;
    if (!w.deleted) go_on = visit(w.sub_key, w.value);
  };
  WEIR_RETURN_IF_ERROR(
      Note(below_.Scan(state, key, from, [&](std::string_view sub_key, std::string_view value) {
        while (go_on && next < own.size() && own[next]->sub_key < sub_key) visit_own(*own[next++]);
        if (!go_on) return false;
        if (next < own.size() && own[next]->sub_key == sub_key) {
          visit_own(*own[next++]);
        } else {
          own_value_ = false;
          go_on = visit(sub_key, value);
        }
        return go_on;
      })));
  while (go_on && next < own.size()) visit_own(*own[next++]);
  return absl::OkStatus();
}

Status RowTransaction::ScanAll(StateId state, const KeyVisitor& visit) {
  const std::vector<const Write*> own = Sorted(state, nullptr);
  size_t next = 0;
  bool go_on = true;
  auto visit_own = [&](const Write& w) {
    own_value_ = true;
    // One that the store has too takes its place there.
    if (!w.deleted) go_on = visit(w.key, w.sub_key, w.value);
  };
  std::vector<bool> visited(own.size(), false);
  WEIR_RETURN_IF_ERROR(Note(below_.ScanAll(
      state, [&](std::string_view key, std::string_view sub_key, std::string_view value) {
        // The row's own entries of earlier key groups come first.
        const int group = KeyGroupOf(Hash64(key));
        for (; go_on && next < own.size() && KeyGroupOf(own[next]->hash) < group; ++next) {
          if (!visited[next]) visit_own(*own[next]);
        }
        if (!go_on) return false;
        for (size_t i = next; i < own.size() && KeyGroupOf(own[i]->hash) == group; ++i) {
          if (own[i]->key != key || own[i]->sub_key != sub_key) continue;
          visited[i] = true;
          visit_own(*own[i]);
          return go_on;
        }
        own_value_ = false;
        go_on = visit(key, sub_key, value);
        return go_on;
      })));
  for (; go_on && next < own.size(); ++next) {
    if (!visited[next]) visit_own(*own[next]);
  }
  return absl::OkStatus();
}

}  // namespace weir::internal
