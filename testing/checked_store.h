// CheckedStore: keyed state that notices the use of keys which are not the instance's own, and that
// may be busy every other time it is asked. Internal to testing/; used by one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "state/keyed_store.h"

namespace weir::testing {

class CheckedStore final : public KeyedStore {
 public:
  // on_foreign_key is told what is wrong. on_busy is called whenever the store says that it is not
  // ready, and must see to a wake-up; null: it is always ready.
  CheckedStore(std::unique_ptr<KeyedStore> below, KeyGroupRange key_groups,
               std::function<void(std::string)> on_foreign_key, std::function<void()> on_busy);

  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                             StateOptions options) override {
    return below_->Register(std::move(name), std::move(value), std::move(sub_key), options);
  }
  const Schema* written_schema(StateId state) const override {
    return below_->written_schema(state);
  }
  StatusOr<bool> Ready() override;
  // Asked for whole batches, and for keys of rows that are rejected, too.
  Status Prefetch(StateId state, std::span<const StateKey> keys) override {
    return below_->Prefetch(state, keys);
  }
  StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                std::string_view sub_key) override {
    Check(key);
    return below_->Get(state, key, sub_key);
  }
  Status Put(StateId state, const StateKey& key, std::string_view sub_key,
             std::string_view value) override {
    Check(key);
    return below_->Put(state, key, sub_key, value);
  }
  Status Delete(StateId state, const StateKey& key, std::string_view sub_key) override {
    Check(key);
    return below_->Delete(state, key, sub_key);
  }
  Status Scan(StateId state, const StateKey& key, std::string_view from,
              const EntryVisitor& visit) override {
    Check(key);
    return below_->Scan(state, key, from, visit);
  }
  Status ScanAll(StateId state, const KeyVisitor& visit) override {
    return below_->ScanAll(state, visit);
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    return below_->Freeze(checkpoint);
  }
  uint64_t bytes() const override { return below_->bytes(); }
  uint64_t memory_bytes() const override { return below_->memory_bytes(); }

 private:
  void Check(const StateKey& key);

  const std::unique_ptr<KeyedStore> below_;
  const KeyGroupRange key_groups_;
  const std::function<void(std::string)> on_foreign_key_;
  const std::function<void()> on_busy_;
  bool busy_ = false;
};

}  // namespace weir::testing
