// A KeyedStore over one in memory that fails, or is busy, when a test says so.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "state/keyed_store.h"

namespace weir::testing {

inline std::unique_ptr<KeyedStore> HeapStore() {
  StatusOr<std::unique_ptr<KeyedStore>> store = MakeHeapKeyedStore({"stage", {}}, Restore{});
  WEIR_CHECK(store.ok());
  return *std::move(store);
}

// A store that fails on demand.
class FailingStore final : public KeyedStore {
 public:
  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub,
                             StateOptions options) override {
    return below->Register(std::move(name), std::move(value), std::move(sub), options);
  }
  const Schema* written_schema(StateId s) const override { return below->written_schema(s); }
  Status Prefetch(StateId s, std::span<const StateKey> keys) override {
    prefetched += keys.size();
    return fail_prefetch ? absl::UnavailableError("disk") : below->Prefetch(s, keys);
  }
  StatusOr<std::optional<std::string_view>> Get(StateId s, const StateKey& key,
                                                std::string_view sub) override {
    if (fail_get) return absl::UnavailableError("disk");
    return below->Get(s, key, sub);
  }
  Status Put(StateId s, const StateKey& key, std::string_view sub,
             std::string_view value) override {
    return fail_put ? absl::UnavailableError("disk") : below->Put(s, key, sub, value);
  }
  Status Delete(StateId s, const StateKey& key, std::string_view sub) override {
    return below->Delete(s, key, sub);
  }
  Status Scan(StateId s, const StateKey& key, std::string_view from,
              const EntryVisitor& visit) override {
    return below->Scan(s, key, from, visit);
  }
  Status ScanAll(StateId s, const KeyVisitor& visit) override { return below->ScanAll(s, visit); }
  std::unique_ptr<Frozen> Freeze(CheckpointId) override { return nullptr; }
  uint64_t bytes() const override { return 0; }
  uint64_t memory_bytes() const override { return 0; }
  StatusOr<bool> Ready() override {
    ++asked;
    return !busy;
  }

  std::unique_ptr<KeyedStore> below = HeapStore();
  bool fail_get = false, fail_put = false, fail_prefetch = false;
  bool busy = false;
  int asked = 0;
  size_t prefetched = 0;
};

}  // namespace weir::testing
