// PluginStates: the states that a plugin has declared, for the rows of one operator instance, with
// values as they cross operators/plugin_table.h.
//
// A state's values are stored as Codec<int64_t>, Codec<double> and Codec<std::string> write them,
// so that a checkpoint's schema says what they are. Owned by an operator; used on its task's
// thread. For each batch: SetBatch(), Ready() until it is true, Prefetch(); for each row reads and
// writes, then Commit() or Abort(). An error of a read or write is the row's fault; one of the
// store's own is in failure() as well, and fails the job's attempt.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch.h"
#include "operators/transforms/plugin_declaration.h"
#include "operators/transforms/row_transaction.h"
#include "state/state_description.h"

namespace weir {

class PluginStates {
 public:
  // For Operator::DescribeState().
  static StatusOr<StateDescription> Describe(const PluginDeclaration& declaration);
  // Both outlive it. FailedPrecondition: the restored state has values of another type.
  static StatusOr<std::unique_ptr<PluginStates>> Open(const PluginDeclaration& declaration,
                                                      KeyedStore& store);

  // Takes the keys of its rows, which live as long as the batch.
  void SetBatch(const Batch<Event>& batch);
  // As KeyedStore::Ready.
  StatusOr<bool> Ready() { return transaction_.Ready(); }
  // All states, for all keys of the batch.
  Status Prefetch() { return transaction_.PrefetchAll(keys_); }
  // Of the rows of the batch.
  const std::vector<StateKey>& keys() const { return keys_; }

  // The view is valid until the next call. `row` is an index in the batch.
  StatusOr<std::optional<std::string_view>> Get(size_t row, uint32_t state);
  Status Put(size_t row, uint32_t state, WeirPluginBytes value);
  Status Remove(size_t row, uint32_t state);

  // The row's writes are applied, or forgotten.
  void Commit() { transaction_.Commit().IgnoreError(); }  // it is in failure()
  void Abort() { transaction_.Abort(); }
  const Status& failure() const { return transaction_.failure(); }

 private:
  PluginStates(const PluginDeclaration& declaration, KeyedStore& store)
      : declaration_(declaration), transaction_(store) {}
  Status CheckIndex(uint32_t state) const;

  const PluginDeclaration& declaration_;
  internal::RowTransaction transaction_;
  std::vector<StateId> ids_;  // beside declaration_.states
  std::vector<StateKey> keys_;
  std::array<char, 8> fixed_{};  // a value of fixed size that was read
  std::string encoded_;          // a value to be written
};

}  // namespace weir
