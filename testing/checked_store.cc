#include "testing/checked_store.h"

#include <fmt/format.h>

namespace weir::testing {

CheckedStore::CheckedStore(std::unique_ptr<KeyedStore> below, KeyGroupRange key_groups,
                           std::function<void(std::string)> on_foreign_key,
                           std::function<void()> on_busy)
    : below_(std::move(below)),
      key_groups_(key_groups),
      on_foreign_key_(std::move(on_foreign_key)),
      on_busy_(std::move(on_busy)) {}

StatusOr<bool> CheckedStore::Ready() {
  if (on_busy_ == nullptr) return below_->Ready();
  busy_ = !busy_;
  if (!busy_) return below_->Ready();
  on_busy_();
  return false;
}

void CheckedStore::Check(const StateKey& key) {
  if (MakeStateKey(key.bytes).hash != key.hash) {
    on_foreign_key_("state of a key whose hash is not that of its bytes");
  }
  const int group = KeyGroupOf(key.hash);
  if (key_groups_.Contains(group)) return;
  on_foreign_key_(fmt::format("state of a key of group {}, and the instance owns {} to {}", group,
                              key_groups_.first, key_groups_.last - 1));
}

}  // namespace weir::testing
