#include "operators/transforms/open_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace weir {
namespace {

// Fewer bytes lie in the manifest, more are a file.
constexpr size_t kInlineBytesMax = 4096;

class FrozenRows final : public Frozen {
 public:
  FrozenRows(const OpenRowsState& state, const Schema& schema, std::function<std::string()> encode)
      : encode_(std::move(encode)) {
    snapshot_.format = state.format;
    snapshot_.schemas.push_back({std::string(state.name), schema});
  }
  StatusOr<StateSnapshot> Write(SnapshotWriter& writer) override {
    std::string bytes = encode_();
    if (bytes.size() <= kInlineBytesMax) {
      snapshot_.inline_bytes = std::move(bytes);
    } else {
      WEIR_ASSIGN_OR_RETURN(StateFile file, writer.AddBytes(bytes, "open-rows"));
      snapshot_.files.push_back(std::move(file));
    }
    return std::move(snapshot_);
  }

 private:
  const std::function<std::string()> encode_;
  StateSnapshot snapshot_;
};

Status CheckSnapshot(const OpenRowsState& state, const StateSnapshot& snapshot) {
  if (snapshot.format == state.format && snapshot.schemas.size() == 1 &&
      snapshot.files.size() <= 1) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("was written as '{}', this version reads '{}'", snapshot.format, state.format));
}

StatusOr<BatchPtr> ReadRows(const OpenRowsState& state, const RowCodec& codec,
                            const StateSnapshot& snapshot, SnapshotReader* reader) {
  WEIR_RETURN_IF_ERROR(CheckSnapshot(state, snapshot));
  const Schema& written = snapshot.schemas[0].schema;
  std::vector<std::string> reasons = IncompatibleFields(written, codec.schema(), state.name);
  if (!reasons.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("cannot be read as the rows are now: {}", fmt::join(reasons, "; ")));
  }
  std::string bytes = snapshot.inline_bytes;
  if (!snapshot.files.empty()) {
    WEIR_ASSIGN_OR_RETURN(bytes, reader->ReadBytes(snapshot.files[0]));
  }
  SlabPtr slab = CopyToSlab(bytes);
  const bool same = written.ToText() == codec.schema().ToText();
  return same ? codec.DecodeBatch(std::move(slab)) : codec.DecodeBatchAs(written, std::move(slab));
}

// Who takes a row must be one of the instances that get it: those that own some of the earlier
// instance's key groups.
void KeepOwn(const RestoredSnapshot& restored, const OperatorContext& context, BatchBase& batch) {
  const KeyGroupRange earlier = restored.key_groups();
  std::span<const uint64_t> hashes = batch.key_hashes();
  std::vector<uint8_t> keep(batch.rows());
  for (size_t i = 0; i < keep.size(); ++i) {
    int group = hashes.empty() ? earlier.first : KeyGroupOf(hashes[i]);
    if (!earlier.Contains(group)) group = earlier.first;
    keep[i] = SubtaskOf(group, context.parallelism) == context.subtask;
  }
  batch.Retain(keep);
}

}  // namespace

StateDescription DescribeOpenRows(const OpenRowsState& state, const RowCodec& codec) {
  StateDescription description;
  description.own.formats = {std::string(state.format)};
  description.own.values = {{std::string(state.name), codec.schema()}};
  description.own.check = [state](const StateSnapshot& snapshot) {
    return CheckSnapshot(state, snapshot);
  };
  return description;
}

std::unique_ptr<Frozen> FreezeOpenRows(const OpenRowsState& state, const Schema& schema,
                                       std::function<std::string()> encode) {
  return std::make_unique<FrozenRows>(state, schema, std::move(encode));
}

StatusOr<BatchPtr> TakeUpOpenRows(const OpenRowsState& state, const RowCodec& codec,
                                  const OperatorContext& context,
                                  const std::function<void(BatchBase&)>& hash_keys) {
  std::vector<const RestoredSnapshot*> snapshots;
  for (const RestoredSnapshot& s : context.restore->snapshots) {
    if (!s.snapshot.format.empty()) snapshots.push_back(&s);
  }
  std::sort(snapshots.begin(), snapshots.end(),
            [](auto* a, auto* b) { return a->subtask < b->subtask; });
  BatchPtr rows = codec.NewBatch();
  for (const RestoredSnapshot* restored : snapshots) {
    auto where = [&](const Status& status) {
      return Annotate(status,
                      fmt::format("operator '{}': the {} of subtask {} of {}", context.stage,
                                  state.name, restored->subtask, restored->parallelism));
    };
    StatusOr<BatchPtr> batch = ReadRows(state, codec, restored->snapshot, context.restore->reader);
    if (!batch.ok()) return where(batch.status());
    if (hash_keys) hash_keys(**batch);
    KeepOwn(*restored, context, **batch);
    if ((*batch)->empty()) continue;
    if (!rows->empty() && rows->key_hashes().empty() != (*batch)->key_hashes().empty()) {
      return where(absl::DataLossError("has key hashes, and that of another subtask has none"));
    }
    codec.CompactIfSparse(*batch);
    rows->Append(**batch);
  }
  return rows;
}

}  // namespace weir
