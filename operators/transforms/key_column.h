// KeyColumn: the keys of a batch's rows, for operators with keyed state. Used for one batch after
// the other by the task that owns it.
//
// A row whose key function fails is rejected and has no key.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "operators/transforms/key_bytes.h"
#include "operators/transforms/user_call.h"
#include "state/keyed_store.h"

namespace weir {

template <class T, class KeyFn>
class KeyColumn {
  using Key = std::decay_t<std::invoke_result_t<KeyFn&, const T&>>;
  // Keys that lie in the row's slab are not copied.
  static constexpr bool kKeyIsView = std::is_same_v<Key, std::string_view>;

 public:
  explicit KeyColumn(KeyFn key_fn) : key_fn_(std::move(key_fn)) {}

  // The batch must outlive what keys() returns.
  void Read(const Batch<T>& in, Output& out) {
    keys_.assign(in.rows(), StateKey{});
    has_key_.assign(in.rows(), 1);
    key_bytes_.clear();
    key_ends_.assign(in.rows(), 0);
    for (size_t i = 0; i < in.rows(); ++i) {
      Status status = internal::GuardedCall([&]() -> Status {
        if constexpr (kKeyIsView) {
          keys_[i].bytes = key_fn_(in[i]);
        } else {
          key_bytes_.append(KeyBytes(key_fn_(in[i]), one_key_));
        }
        return absl::OkStatus();
      });
      key_ends_[i] = key_bytes_.size();
      if (status.ok()) continue;
      has_key_[i] = 0;
      internal::RejectRow(in[i], in.times()[i], status, out);
    }
    for (size_t i = 0; i < in.rows(); ++i) {
      if constexpr (!kKeyIsView) {
        const size_t begin = i == 0 ? 0 : key_ends_[i - 1];
        keys_[i].bytes = std::string_view(key_bytes_).substr(begin, key_ends_[i] - begin);
      }
      keys_[i] = MakeStateKey(keys_[i].bytes);
    }
  }

  const std::vector<StateKey>& keys() const { return keys_; }
  bool has_key(size_t row) const { return has_key_[row] != 0; }
  const std::vector<uint8_t>& has_keys() const { return has_key_; }  // by row; 0: it has none

 private:
  KeyFn key_fn_;
  std::vector<StateKey> keys_;
  std::vector<uint8_t> has_key_;
  std::string key_bytes_;  // all of the batch's, one behind the other
  std::vector<size_t> key_ends_;
  std::string one_key_;
};

}  // namespace weir
