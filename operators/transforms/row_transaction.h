// RowTransaction: a KeyedStore whose writes reach the store below only when their row has
// succeeded, so that a row that fails leaves no state behind.
//
// Reads see the writes of the row. Owned by one operator; used on its task's thread. For each row:
// the reads and writes of user code, then Commit() or Abort(). An error of the store below is not
// the row's fault: failure() keeps it, whatever user code makes of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "state/keyed_store.h"

namespace weir::internal {

class RowTransaction final : public KeyedStore {
 public:
  explicit RowTransaction(KeyedStore& below) : below_(below) {}

  Status Commit();  // the first error that the store below returned for this row
  void Abort();
  const Status& failure() const { return failure_; }
  // Keeps the status there if it is the first error; returns it.
  Status Note(Status status);
  // Prefetch() for every state that has been registered.
  Status PrefetchAll(std::span<const StateKey> keys);

  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                             StateOptions options) override;
  // Of a value that this row has written, the registered schema: it is asked right after Get() or
  // in a visitor.
  const Schema* written_schema(StateId state) const override;
  StatusOr<bool> Ready() override;
  Status Prefetch(StateId state, std::span<const StateKey> keys) override;
  StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                std::string_view sub_key) override;
  Status Put(StateId state, const StateKey& key, std::string_view sub_key,
             std::string_view value) override;
  Status Delete(StateId state, const StateKey& key, std::string_view sub_key) override;
  Status Scan(StateId state, const StateKey& key, std::string_view from,
              const EntryVisitor& visit) override;
  Status ScanAll(StateId state, const KeyVisitor& visit) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    return below_.Freeze(checkpoint);
  }
  uint64_t bytes() const override { return below_.bytes(); }
  uint64_t memory_bytes() const override { return below_.memory_bytes(); }

 private:
  // Kept from row to row, with the memory of its strings.
  struct Write {
    StateId state;
    uint64_t hash;
    std::string key, sub_key, value;
    bool deleted;
  };

  Write* Find(StateId state, std::string_view key, std::string_view sub_key);
  Write& FindOrAdd(StateId state, const StateKey& key, std::string_view sub_key);
  // The row's writes to a state, and to one key of it if given, in the order of a scan.
  std::vector<const Write*> Sorted(StateId state, const StateKey* key) const;

  KeyedStore& below_;
  std::vector<StateId> states_;
  std::vector<std::string> names_;  // by StateId, for messages
  std::vector<Write> writes_;
  size_t used_ = 0;  // of writes_, by this row
  // Where there are many: (state, key, sub-key) -> index in writes_.
  absl::flat_hash_map<std::string, size_t> index_;
  Status failure_;
  bool own_value_ = false;  // the value read last is the row's own
};

}  // namespace weir::internal
