// StateDescription: what an operator keeps in checkpoints, said by an instance that is never
// opened, so that a checkpoint can be compared with it before anything of it is restored.
//
// A plain value; made by Operator::DescribeState() and its like, read by
// runtime/checkpoint/checkpoint_fit.h.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/keyed_store.h"
#include "state/snapshot.h"

namespace weir {

// A keyed state as KeyedStore::Register() is told of it.
struct KeyedStateSpec {
  std::string name;
  Schema value;
  std::optional<Schema> sub_key;  // of a map
};

// State that the operator freezes itself (Operator::Freeze).
struct OwnStateSpec {
  std::vector<std::string> formats;  // of snapshots that it reads; empty: it keeps none
  std::vector<StateSchema> values;   // what is in them, as it is read now
  // What else keeps a snapshot of such a format from being restored; may be empty.
  std::function<Status(const StateSnapshot& snapshot)> check;
};

struct StateDescription {
  std::vector<KeyedStateSpec> keyed;
  OwnStateSpec own;
};

// A store that holds nothing and remembers what is registered with it: what a function's Open()
// says about its state.
class StateRecorder final : public KeyedStore {
 public:
  const std::vector<KeyedStateSpec>& states() const { return states_; }

  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                             StateOptions options) override;
  const Schema* written_schema(StateId) const override { return nullptr; }
  Status Prefetch(StateId, std::span<const StateKey>) override { return absl::OkStatus(); }
  StatusOr<std::optional<std::string_view>> Get(StateId, const StateKey&,
                                                std::string_view) override {
    return std::nullopt;
  }
  Status Put(StateId, const StateKey&, std::string_view, std::string_view) override;
  Status Delete(StateId, const StateKey&, std::string_view) override { return absl::OkStatus(); }
  Status Scan(StateId, const StateKey&, std::string_view, const EntryVisitor&) override {
    return absl::OkStatus();
  }
  Status ScanAll(StateId, const KeyVisitor&) override { return absl::OkStatus(); }
  std::unique_ptr<Frozen> Freeze(CheckpointId) override { return nullptr; }
  uint64_t bytes() const override { return 0; }
  uint64_t memory_bytes() const override { return 0; }

 private:
  std::vector<KeyedStateSpec> states_;
};

// What `open` registers with the store that it is given: Status open(KeyedStore&).
template <class Open>
StatusOr<StateDescription> DescribeKeyedState(Open open) {
  StateRecorder recorder;
  WEIR_RETURN_IF_ERROR(open(recorder));
  return StateDescription{.keyed = recorder.states(), .own = {}};
}

// What differs between a keyed state as its entries were written and as it is registered. Paths
// begin with the state's name; that of a map's keys is "<name>[key]".
std::vector<FieldChange> CompareKeyedState(std::span<const Schema> written,
                                           const std::optional<Schema>& written_sub_key,
                                           const KeyedStateSpec& wanted);

// The name under which a snapshot lists the schema of a map's keys (StateSnapshot::schemas).
std::string SubKeyName(std::string_view state);

}  // namespace weir
