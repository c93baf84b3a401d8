// Keyed state as operators see it: typed views over the bytes of a KeyedStore.
//
//   Status Open(OperatorContext& context) override {
//     WEIR_ASSIGN_OR_RETURN(count_, ValueState<int64_t>::Register(*context.keyed, "count"));
//     ...
//   }
//   StateKey key = MakeStateKey(row.origin);
//   WEIR_ASSIGN_OR_RETURN(std::optional<int64_t> count, count_.Get(key));
//   WEIR_RETURN_IF_ERROR(count_.Set(key, count.value_or(0) + 1));
//
// ValueState, MapState and ListState. StateOptions may give each a ttl.
//
// A name is a state's identity across restarts; register each once, in Open(). A view is a small
// value that points to the store, which must outlive it; it is used by the store's task alone.
// Values are returned as copies, decoded with Codec<V>, and V must own its bytes: a member
// std::string_view would point into the store. V may gain and lose struct members between versions
// of a job; other changes fail Register() with FailedPrecondition. A state that a job no longer
// registers is carried along untouched.
//
// DataLoss: stored bytes are not such a value.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/codec.h"
#include "state/keyed_store.h"
#include "state/sub_key.h"

namespace weir {

// "state 'count': ...", what a typed view says of bytes that it cannot decode.
Status UndecodableState(std::string_view state, std::string_view what);

namespace internal {

// Decodes what Get() or a visitor of `store` has just returned.
template <class V>
bool DecodeStateValue(const KeyedStore& store, StateId state, std::string_view bytes, V& value) {
  ByteReader in(bytes);
  const Schema* written = store.written_schema(state);
  bool ok = written ? Codec<V>::DecodeAs(*written, in, value) : Codec<V>::Decode(in, value);
  return ok && in.done();
}

}  // namespace internal

// One value for each key.
template <class V>
class ValueState {
  static_assert(!std::is_same_v<V, std::string_view>, "state owns its bytes: use std::string");

 public:
  static StatusOr<ValueState> Register(KeyedStore& store, std::string name,
                                       StateOptions options = {}) {
    ValueState state;
    state.store_ = &store;
    state.name_ = name;
    WEIR_ASSIGN_OR_RETURN(
        state.id_, store.Register(std::move(name), Codec<V>::Describe(), std::nullopt, options));
    return state;
  }

  ValueState() = default;  // usable only after assignment from Register()

  StatusOr<std::optional<V>> Get(const StateKey& key) const {
    WEIR_ASSIGN_OR_RETURN(std::optional<std::string_view> bytes, store_->Get(id_, key, {}));
    std::optional<V> value;
    if (!bytes) return value;
    if (!internal::DecodeStateValue(*store_, id_, *bytes, value.emplace())) {
      return UndecodableState(name_, "a value is broken");
    }
    return value;
  }
  Status Set(const StateKey& key, const V& value) {
    buffer_.clear();
    Codec<V>::Encode(value, buffer_);
    return store_->Put(id_, key, {}, buffer_);
  }
  Status Clear(const StateKey& key) { return store_->Delete(id_, key, {}); }

  // Reads the state of these keys at once; a Get() of one of them touches no disk afterwards.
  Status Prefetch(std::span<const StateKey> keys) { return store_->Prefetch(id_, keys); }

  // Calls visit(key bytes, value) for every key of the instance, by key group, until it returns
  // false. The state must not be changed meanwhile.
  template <class Visit>
  Status ForEach(Visit visit) const {
    bool broken = false;
    WEIR_RETURN_IF_ERROR(
        store_->ScanAll(id_, [&](std::string_view key, std::string_view, std::string_view bytes) {
          V value{};
          broken = !internal::DecodeStateValue(*store_, id_, bytes, value);
          return !broken && visit(key, std::move(value));
        }));
    return broken ? UndecodableState(name_, "a value is broken") : absl::OkStatus();
  }

 private:
  KeyedStore* store_ = nullptr;
  StateId id_ = 0;
  std::string name_;
  std::string buffer_;
};

// An ordered map for each key. K is one of the types of state/sub_key.h.
template <class K, class V>
class MapState {
  static_assert(!std::is_same_v<V, std::string_view>, "state owns its bytes: use std::string");

 public:
  using Argument = typename SubKey<K>::Argument;  // K, or a view of it

  static StatusOr<MapState> Register(KeyedStore& store, std::string name,
                                     StateOptions options = {}) {
    MapState state;
    state.store_ = &store;
    state.name_ = name;
    WEIR_ASSIGN_OR_RETURN(state.id_, store.Register(std::move(name), Codec<V>::Describe(),
                                                    Codec<K>::Describe(), options));
    return state;
  }

  MapState() = default;  // usable only after assignment from Register()

  StatusOr<std::optional<V>> Get(const StateKey& key, Argument sub_key) const {
    WEIR_ASSIGN_OR_RETURN(std::optional<std::string_view> bytes,
                          store_->Get(id_, key, EncodeSubKey(sub_key)));
    std::optional<V> value;
    if (!bytes) return value;
    if (!internal::DecodeStateValue(*store_, id_, *bytes, value.emplace())) {
      return UndecodableState(name_, "a value is broken");
    }
    return value;
  }
  Status Put(const StateKey& key, Argument sub_key, const V& value) {
    buffer_.clear();
    Codec<V>::Encode(value, buffer_);
    return store_->Put(id_, key, EncodeSubKey(sub_key), buffer_);
  }
  Status Remove(const StateKey& key, Argument sub_key) {
    return store_->Delete(id_, key, EncodeSubKey(sub_key));
  }

  Status Prefetch(std::span<const StateKey> keys) { return store_->Prefetch(id_, keys); }

  // Calls visit(K, V) for each entry of a key, in the order of K, until it returns false. The state
  // must not be changed meanwhile.
  template <class Visit>
  Status ForEach(const StateKey& key, Visit visit) const {
    return Scan(key, {}, std::move(visit));
  }
  // The same for the entries from `from` on.
  template <class Visit>
  Status ForEachFrom(const StateKey& key, Argument from, Visit visit) const {
    return Scan(key, std::string(EncodeSubKey(from)), std::move(visit));
  }
  // Calls visit(key bytes, K, V) for every entry of the instance, by key group, until it returns
  // false.
  template <class Visit>
  Status ForEachKey(Visit visit) const {
    bool broken = false;
    WEIR_RETURN_IF_ERROR(store_->ScanAll(
        id_, [&](std::string_view key, std::string_view sub_key, std::string_view bytes) {
          K decoded{};
          V value{};
          broken = !Decode(sub_key, bytes, decoded, value);
          return !broken && visit(key, std::move(decoded), std::move(value));
        }));
    return broken ? UndecodableState(name_, "an entry is broken") : absl::OkStatus();
  }

 private:
  std::string_view EncodeSubKey(Argument sub_key) const {
    sub_key_buffer_.clear();
    SubKey<K>::Encode(sub_key, sub_key_buffer_);
    return sub_key_buffer_;
  }
  template <class Visit>
  Status Scan(const StateKey& key, std::string_view from, Visit visit) const {
    bool broken = false;
    WEIR_RETURN_IF_ERROR(
        store_->Scan(id_, key, from, [&](std::string_view sub_key, std::string_view bytes) {
          K decoded{};
          V value{};
          broken = !Decode(sub_key, bytes, decoded, value);
          return !broken && visit(std::move(decoded), std::move(value));
        }));
    return broken ? UndecodableState(name_, "an entry is broken") : absl::OkStatus();
  }
  bool Decode(std::string_view sub_key, std::string_view bytes, K& key, V& value) const {
    return SubKey<K>::Take(sub_key, key) && sub_key.empty() &&
           internal::DecodeStateValue(*store_, id_, bytes, value);
  }

  KeyedStore* store_ = nullptr;
  StateId id_ = 0;
  std::string name_;
  std::string buffer_;
  mutable std::string sub_key_buffer_;
};

// A list for each key, which grows at its end. Its items are entries of their own, so that adding
// one does not read the others. With a ttl each item expires by itself.
template <class V>
class ListState {
 public:
  static StatusOr<ListState> Register(KeyedStore& store, const std::string& name,
                                      StateOptions options = {}) {
    ListState state;
    WEIR_ASSIGN_OR_RETURN(state.items_, (MapState<uint64_t, V>::Register(store, name, options)));
    WEIR_ASSIGN_OR_RETURN(state.end_,
                          ValueState<uint64_t>::Register(store, name + ".end", options));
    return state;
  }

  ListState() = default;  // usable only after assignment from Register()

  Status Add(const StateKey& key, const V& item) {
    WEIR_ASSIGN_OR_RETURN(const std::optional<uint64_t> end, end_.Get(key));
    WEIR_RETURN_IF_ERROR(items_.Put(key, end.value_or(0), item));
    return end_.Set(key, end.value_or(0) + 1);
  }
  StatusOr<std::vector<V>> Get(const StateKey& key) const {
    std::vector<V> items;
    WEIR_RETURN_IF_ERROR(items_.ForEach(key, [&](uint64_t, V item) {
      items.push_back(std::move(item));
      return true;
    }));
    return items;
  }
  Status Clear(const StateKey& key) {
    WEIR_ASSIGN_OR_RETURN(const std::optional<uint64_t> end, end_.Get(key));
    for (uint64_t at = 0; at < end.value_or(0); ++at) {
      WEIR_RETURN_IF_ERROR(items_.Remove(key, at));
    }
    return end_.Clear(key);
  }

 private:
  MapState<uint64_t, V> items_;
  ValueState<uint64_t> end_;
};

}  // namespace weir
