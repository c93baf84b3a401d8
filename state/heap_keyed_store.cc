// Keyed state in memory, in three tiers: `dirty`, what changed since the last freeze; frozen
// generations; and `base`. A newer tier shadows an older one, deletions included. Freeze() only
// makes `dirty` a generation. Once a generation is in a file it is merged into base, a few entries
// with each later change, so that no call pauses. A generation whose file was never finished goes
// into the next checkpoint's files instead.
//
// A checkpoint lists one full write and the deltas since. Files that were written for a checkpoint
// which then failed are listed again by the next one: the store of checkpoints keeps them.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

#include "core/check.h"
#include "state/heap_tiers.h"
#include "state/keyed_store.h"

namespace weir {
namespace {

using heap::Entry;
using heap::kDeleted;
using heap::Map;
using heap::MergedScan;

constexpr size_t kEntryOverheadBytes = 64;    // of a map's node, roughly
constexpr size_t kInlineBytesMax = 16 << 10;  // so small a state lives in the manifest
constexpr size_t kFileBytesMax = 32 << 20;    // a file is cut after this
constexpr uint64_t kDeltaBytesMin = 1 << 20;  // deltas up to this do not outweigh any base
constexpr size_t kFilesMax = 256;             // of one snapshot, before everything is written anew
constexpr size_t kMergedPerChange = 8;        // entries

struct Generation {
  Map entries;
  std::atomic<bool> written{false};  // set on the I/O pool; then only the store touches `entries`
};
using Generations = std::deque<std::shared_ptr<Generation>>;  // newest first

// The files that hold everything that was written. Belongs to the frozen generation while one is
// out, else to the store.
struct Ledger {
  std::atomic<bool> out{false};
  std::atomic<bool> full{false};  // the one that is out reads all tiers
  std::vector<StateFile> files;
  uint64_t full_bytes = 0;
  uint64_t delta_bytes = 0;
};

size_t BytesOf(std::string_view key, const Entry& entry) {
  return key.size() + entry.value.size() + kEntryOverheadBytes;
}

class FrozenHeap final : public Frozen {
 public:
  FrozenHeap(CheckpointId checkpoint, bool full, std::shared_ptr<Ledger> ledger, StateTable states,
             Generations generations, std::shared_ptr<const Map> base)
      : checkpoint_(checkpoint),
        full_(full),
        ledger_(std::move(ledger)),
        states_(std::move(states)),
        generations_(std::move(generations)),
        base_(std::move(base)) {}
  ~FrozenHeap() override { HandBack(); }

  StatusOr<StateSnapshot> Write(SnapshotWriter& writer) override {
    StateSnapshot snapshot;
    Status status = full_ ? WriteFull(writer, snapshot) : WriteDeltas(writer);
    if (status.ok()) {
      snapshot.format = kHeapKeyedFormat;
      snapshot.files = ledger_->files;
      snapshot.schemas = states_.Describe();
    }
    HandBack();
    if (!status.ok()) return status;
    return snapshot;
  }

 private:
  void HandBack() {
    if (!std::exchange(ours_, false)) return;
    ledger_->full.store(false, std::memory_order_release);
    ledger_->out.store(false, std::memory_order_release);
  }

  StatusOr<StateFile> AddFile(SnapshotWriter& writer, std::string_view kind, std::string bytes) {
    return writer.AddBytes(bytes, fmt::format("{}-{}.{}", kind, checkpoint_, next_file_++));
  }

  Status WriteFull(SnapshotWriter& writer, StateSnapshot& snapshot) {
    std::vector<const Map*> tiers;
    for (const auto& generation : generations_) tiers.push_back(&generation->entries);
    tiers.push_back(base_.get());
    heap::FileEncoder encoder(states_);
    std::vector<StateFile> files;
    for (MergedScan scan(tiers, ""); !scan.done(); scan.Next()) {
      if (encoder.bytes() >= kFileBytesMax) {
        WEIR_ASSIGN_OR_RETURN(files.emplace_back(), AddFile(writer, "full", encoder.Take()));
      }
      encoder.Add(scan.key(), scan.entry());
    }
    if (files.empty() && encoder.bytes() <= kInlineBytesMax) {
      snapshot.inline_bytes = encoder.Take();
    } else {
      WEIR_ASSIGN_OR_RETURN(files.emplace_back(), AddFile(writer, "full", encoder.Take()));
    }
    ledger_->files = std::move(files);
    ledger_->full_bytes = 0;
    ledger_->delta_bytes = 0;
    for (const StateFile& file : ledger_->files) ledger_->full_bytes += file.bytes;
    for (const auto& generation : generations_) {
      generation->written.store(true, std::memory_order_release);
    }
    return absl::OkStatus();
  }

  // Oldest first. A generation is in the ledger's files wholly or not at all.
  Status WriteDeltas(SnapshotWriter& writer) {
    for (auto at = generations_.rbegin(); at != generations_.rend(); ++at) {
      Generation& generation = **at;
      heap::FileEncoder encoder(states_);
      std::vector<StateFile> files;
      for (const auto& [key, entry] : generation.entries) {
        if (encoder.bytes() >= kFileBytesMax) {
          WEIR_ASSIGN_OR_RETURN(files.emplace_back(), AddFile(writer, "delta", encoder.Take()));
        }
        encoder.Add(key, entry);
      }
      WEIR_ASSIGN_OR_RETURN(files.emplace_back(), AddFile(writer, "delta", encoder.Take()));
      for (StateFile& file : files) {
        ledger_->delta_bytes += file.bytes;
        ledger_->files.push_back(std::move(file));
      }
      generation.written.store(true, std::memory_order_release);
    }
    return absl::OkStatus();
  }

  const CheckpointId checkpoint_;
  const bool full_;
  const std::shared_ptr<Ledger> ledger_;
  const StateTable states_;
  const Generations generations_;  // if full: all of them; else the unwritten ones
  const std::shared_ptr<const Map> base_;
  int next_file_ = 0;
  bool ours_ = true;
};

class HeapKeyedStore final : public KeyedStore {
 public:
  explicit HeapKeyedStore(KeyedStoreOptions options) : options_(std::move(options)) {}

  Status LoadFrom(const Restore& restore) {
    for (const RestoredSnapshot& from : restore.snapshots) {
      if (from.snapshot.format.empty()) continue;
      Status status = LoadSnapshot(from.snapshot, *restore.reader);
      if (!status.ok()) {
        return Annotate(status, fmt::format("keyed state of stage '{}', subtask {} of {}",
                                            options_.stage, from.subtask, from.parallelism));
      }
    }
    for (const auto& [key, entry] : *base_) {
      bytes_ += BytesOf(key, entry);
      states_[Decompose(key).state].in_use[static_cast<size_t>(entry.schema)] = true;
    }
    last_schemas_.assign(states_.size(), -1);
    return absl::OkStatus();
  }

  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                             StateOptions options) override {
    if (options.ttl != 0) {
      return absl::UnimplementedError(fmt::format("state '{}': state in memory has no ttl", name));
    }
    WEIR_ASSIGN_OR_RETURN(StateId id, states_.Register(options_.stage, std::move(name),
                                                       std::move(value), std::move(sub_key)));
    last_schemas_.resize(states_.size(), -1);
    return id;
  }

  const Schema* written_schema(StateId state) const override {
    return states_.Written(state, last_schemas_[static_cast<size_t>(state)]);
  }

  Status Prefetch(StateId, std::span<const StateKey>) override { return absl::OkStatus(); }

  StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                std::string_view sub_key) override {
    const Entry* entry = Find(Compose(state, key, sub_key));
    if (entry == nullptr || entry->schema == kDeleted) return std::nullopt;
    last_schemas_[static_cast<size_t>(state)] = entry->schema;
    return std::string_view(entry->value);
  }

  Status Put(StateId state, const StateKey& key, std::string_view sub_key,
             std::string_view value) override {
    const int schema = states_[state].registered;
    WEIR_CHECK(schema >= 0);
    const std::string& composed = Compose(state, key, sub_key);
    auto at = dirty_.lower_bound(composed);
    if (at != dirty_.end() && at->first == composed) {
      bytes_ -= BytesOf(at->first, at->second);
      at->second.value.assign(value);
      at->second.schema = schema;
    } else {
      at = dirty_.emplace_hint(at, composed, Entry{std::string(value), schema});
    }
    bytes_ += BytesOf(at->first, at->second);
    MergeSome();
    return absl::OkStatus();
  }

  Status Delete(StateId state, const StateKey& key, std::string_view sub_key) override {
    const std::string& composed = Compose(state, key, sub_key);
    auto at = dirty_.find(composed);
    const Entry* below = FindBelow(composed);
    if (below == nullptr || below->schema == kDeleted) {
      // No file knows it, so none has to be told.
      if (at != dirty_.end()) {
        bytes_ -= BytesOf(at->first, at->second);
        dirty_.erase(at);
      }
    } else {
      if (at != dirty_.end()) {
        bytes_ -= BytesOf(at->first, at->second);
        at->second = Entry{};
      } else {
        at = dirty_.emplace(composed, Entry{}).first;
      }
      bytes_ += BytesOf(at->first, at->second);
    }
    MergeSome();
    return absl::OkStatus();
  }

  Status Scan(StateId state, const StateKey& key, std::string_view from,
              const EntryVisitor& visit) override {
    const std::string prefix = Compose(state, key, {});
    for (MergedScan scan(Tiers(), prefix + std::string(from));
         !scan.done() && scan.key().starts_with(prefix); scan.Next()) {
      last_schemas_[static_cast<size_t>(state)] = scan.entry().schema;
      if (!visit(scan.key().substr(prefix.size()), scan.entry().value)) break;
    }
    return absl::OkStatus();
  }

  Status ScanAll(StateId state, const KeyVisitor& visit) override {
    std::string prefix;
    for (int group = options_.key_groups.first; group < options_.key_groups.last; ++group) {
      prefix.clear();
      ComposePrefix(group, state, prefix);
      for (MergedScan scan(Tiers(), prefix); !scan.done() && scan.key().starts_with(prefix);
           scan.Next()) {
        ComposedKey parts = Decompose(scan.key());
        last_schemas_[static_cast<size_t>(state)] = scan.entry().schema;
        if (!visit(parts.key, parts.sub_key, scan.entry().value)) return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    WEIR_CHECK(!ledger_->out.load(std::memory_order_acquire));
    if (!dirty_.empty()) {
      generations_.push_front(std::make_shared<Generation>());
      generations_.front()->entries.swap(dirty_);
    }
    const bool full = ledger_->files.empty() || ledger_->files.size() >= kFilesMax ||
                      ledger_->delta_bytes > std::max(ledger_->full_bytes, kDeltaBytesMin);
    Generations generations;
    for (const auto& generation : generations_) {
      if (full || !generation->written.load(std::memory_order_acquire)) {
        generations.push_back(generation);
      }
    }
    ledger_->full.store(full, std::memory_order_relaxed);
    ledger_->out.store(true, std::memory_order_relaxed);
    return std::make_unique<FrozenHeap>(checkpoint, full, ledger_, states_, std::move(generations),
                                        base_);
  }

  uint64_t bytes() const override { return bytes_; }
  uint64_t memory_bytes() const override { return bytes_; }

 private:
  Status LoadSnapshot(const StateSnapshot& snapshot, SnapshotReader& reader) {
    if (snapshot.format != kHeapKeyedFormat) {
      return absl::FailedPreconditionError(fmt::format(
          "it was written as '{}', but is read as '{}'", snapshot.format, kHeapKeyedFormat));
    }
    if (!snapshot.inline_bytes.empty()) {
      WEIR_RETURN_IF_ERROR(
          heap::ApplyFile(snapshot.inline_bytes, options_.key_groups, states_, *base_));
    }
    for (const StateFile& file : snapshot.files) {
      WEIR_ASSIGN_OR_RETURN(std::string bytes, reader.ReadBytes(file));
      WEIR_RETURN_IF_ERROR(Annotate(heap::ApplyFile(bytes, options_.key_groups, states_, *base_),
                                    "file " + file.name));
    }
    return absl::OkStatus();
  }

  // Valid until the next call.
  const std::string& Compose(StateId state, const StateKey& key, std::string_view sub_key) {
    composed_.clear();
    ComposeKey(KeyGroupOf(key.hash), state, key.bytes, sub_key, composed_);
    return composed_;
  }

  std::vector<const Map*> Tiers() const {
    std::vector<const Map*> tiers{&dirty_};
    for (const auto& generation : generations_) tiers.push_back(&generation->entries);
    tiers.push_back(base_.get());
    return tiers;
  }

  const Entry* Find(std::string_view composed) const {
    if (auto at = dirty_.find(composed); at != dirty_.end()) return &at->second;
    return FindBelow(composed);
  }
  const Entry* FindBelow(std::string_view composed) const {
    for (const auto& generation : generations_) {
      auto at = generation->entries.find(composed);
      if (at != generation->entries.end()) return &at->second;
    }
    auto at = base_->find(composed);
    return at == base_->end() ? nullptr : &at->second;
  }

  // Moves a few entries of the oldest generation into base, unless somebody reads them.
  void MergeSome() {
    if (generations_.empty() || ledger_->full.load(std::memory_order_acquire)) return;
    Generation& oldest = *generations_.back();
    if (!oldest.written.load(std::memory_order_acquire)) return;
    auto at = oldest.entries.begin();
    for (size_t n = 0; n < kMergedPerChange && at != oldest.entries.end(); ++n, ++at) {
      MoveToBase(at->first, at->second);
    }
    oldest.entries.erase(oldest.entries.begin(), at);
    if (oldest.entries.empty()) generations_.pop_back();
  }
  void MoveToBase(const std::string& key, Entry& entry) {
    auto old = base_->find(key);
    if (old != base_->end()) bytes_ -= BytesOf(old->first, old->second);
    if (entry.schema == kDeleted) {
      bytes_ -= BytesOf(key, entry);
      if (old != base_->end()) base_->erase(old);
    } else if (old != base_->end()) {
      old->second = std::move(entry);
    } else {
      base_->emplace(key, std::move(entry));
    }
  }

  const KeyedStoreOptions options_;
  StateTable states_;
  std::vector<int> last_schemas_;  // by state: of the bytes that were returned last
  Map dirty_;
  Generations generations_;
  const std::shared_ptr<Map> base_ = std::make_shared<Map>();
  const std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>();
  uint64_t bytes_ = 0;
  std::string composed_;
};

}  // namespace

StatusOr<std::unique_ptr<KeyedStore>> MakeHeapKeyedStore(const KeyedStoreOptions& options,
                                                         const Restore& restore) {
  auto store = std::make_unique<HeapKeyedStore>(options);
  WEIR_RETURN_IF_ERROR(store->LoadFrom(restore));
  return store;
}

}  // namespace weir
