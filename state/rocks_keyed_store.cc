// Keyed state larger than memory: a log of the newest values (keyed_log.h), which is write-back
// buffer and cache, in front of RocksDB (keyed_files.h).
//
// A batch's keys are prefetched with one MultiGet; the log remembers absent keys too. Freeze() cuts
// the log, which copies nothing; the generation is written on the I/O pool as one sorted file, at
// a checkpoint, or between two of them when too much has gathered. What was written may leave
// memory. So that the entries of a map are visited in order, those that are not in the files yet
// stand in an index.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "core/hash.h"
#include "core/limits.h"
#include "state/generation_queue.h"
#include "state/keyed_files.h"
#include "state/keyed_log.h"
#include "state/keyed_store.h"
#include "state/state_table.h"

namespace weir {
namespace {

constexpr size_t kIndexEntryBytes = 40;   // of a tree's node that is mostly full
constexpr size_t kPrefetchDistance = 16;  // keys between asking for a line and reading it

// Of the store's memory: the rest is for sorting, writing and merging files.
constexpr size_t LogBytes(size_t memory_bytes) { return memory_bytes / 10 * 6; }
// So that what waits to be written never fills more than two thirds of the log.
constexpr size_t UnwrittenBytesMax(size_t memory_bytes) { return LogBytes(memory_bytes) / 3; }

struct Shared {
  Shared(std::unique_ptr<KeyedFiles> opened, std::function<void()> wake)
      : files(std::move(opened)),
        generations(
            [this](std::span<const KeyedGeneration> generations) {
              WEIR_RETURN_IF_ERROR(files->Write(generations));
              written.store(generations.back().end, std::memory_order_release);
              return absl::OkStatus();
            },
            std::move(wake)) {}

  const std::unique_ptr<KeyedFiles> files;
  std::atomic<uint64_t> written = 0;  // log positions below it are in the files
  GenerationQueue<KeyedGeneration> generations;
};

class FrozenRocks final : public Frozen {
 public:
  FrozenRocks(std::shared_ptr<Shared> shared, uint64_t number, StateTable states)
      : shared_(std::move(shared)), number_(number), states_(std::move(states)) {}
  ~FrozenRocks() override { shared_->generations.Release(number_); }

  StatusOr<StateSnapshot> Write(SnapshotWriter& writer) override {
    WEIR_ASSIGN_OR_RETURN(const auto capture, shared_->generations.WriteAndCapture(number_, [this] {
      return shared_->files->CaptureNow();
    }));
    shared_->generations.Release(number_);
    StateSnapshot snapshot;
    snapshot.format = kRocksKeyedFormat;
    states_.Encode(snapshot.inline_bytes);
    snapshot.schemas = states_.Describe();
    WEIR_ASSIGN_OR_RETURN(snapshot.files, capture->Store(writer));
    return snapshot;
  }

 private:
  const std::shared_ptr<Shared> shared_;
  const uint64_t number_;
  const StateTable states_;
};

class RocksKeyedStore final : public KeyedStore {
 public:
  RocksKeyedStore(RocksKeyedStoreOptions options, StateTable states,
                  std::unique_ptr<KeyedFiles> files)
      : options_(std::move(options)),
        shared_(std::make_shared<Shared>(std::move(files), options_.wake)),
        spills_(std::make_unique<IoSequence>(options_.env->io)),
        states_(std::move(states)),
        log_(LogBytes(options_.memory_bytes)),
        now_(options_.env->clock.Now()) {
    last_schemas_.assign(states_.size(), -1);
    ttls_.assign(states_.size(), 0);
  }
  ~RocksKeyedStore() override { spills_.reset(); }

  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                             StateOptions options) override {
    if (options.ttl < 0) {
      return absl::InvalidArgumentError(
          fmt::format("stage '{}', state '{}': the ttl is negative", options_.stage, name));
    }
    WEIR_ASSIGN_OR_RETURN(StateId id, states_.Register(options_.stage, std::move(name),
                                                       std::move(value), std::move(sub_key)));
    last_schemas_.resize(states_.size(), -1);
    ttls_.resize(states_.size(), 0);
    ttls_[static_cast<size_t>(id)] = options.ttl;
    return id;
  }

  const Schema* written_schema(StateId state) const override {
    return states_.Written(state, last_schemas_[static_cast<size_t>(state)]);
  }

  StatusOr<bool> Ready() override {
    TakeNotice();
    now_ = options_.env->clock.Now();
    StatusOr<bool> ready = shared_->generations.Ready(
        log_.unwritten_bytes() + IndexBytes(), UnwrittenBytesMax(options_.memory_bytes),
        [this] { return Cut(); }, *spills_);
    if (!ready.ok()) return Annotate(ready.status(), fmt::format("stage '{}'", options_.stage));
    return ready;
  }

  // Of a map only the keys' entries are read, one by one, as they are asked for.
  Status Prefetch(StateId state, std::span<const StateKey> keys) override {
    if (states_[state].sub_key) return absl::OkStatus();
    places_.resize(keys.size());
    next_place_ = 0;
    std::vector<uint32_t> missing;
    // The table's lines are asked for first, then the records', then both are there.
    for (size_t i = 0; i < keys.size() + 2 * kPrefetchDistance; ++i) {
      if (i < keys.size()) {
        places_[i].hash = KeyedLog::HashOf(state, keys[i].hash, {});
        log_.PrefetchTable(places_[i].hash);
      }
      if (const size_t at = i - kPrefetchDistance; at < keys.size()) {
        __builtin_prefetch(log_.AddressOfRecord(places_[at].hash));
      }
      const size_t at = i - 2 * kPrefetchDistance;
      // A key that is too long has no entry; Get() will say so.
      if (at >= keys.size() || keys[at].bytes.size() > limits::kStateKeyBytesMax) continue;
      if (log_.Find(places_[at].hash, Compose(state, keys[at], {})) != nullptr) {
        places_[at] = log_.last();
      } else {
        missing.push_back(static_cast<uint32_t>(at));
      }
    }
    return missing.empty() ? absl::OkStatus() : Load(state, keys, missing);
  }

  StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                std::string_view sub_key) override {
    WEIR_RETURN_IF_ERROR(CheckStateSizes(states_[state].name, key, sub_key, {}));
    Compose(state, key, sub_key);
    const uint64_t hash = KeyedLog::HashOf(state, key.hash, sub_key);
    ExpectAsPrefetched(hash);
    const KeyedRecord* record = log_.Find(hash, composed_);
    if (record == nullptr) {
      std::optional<std::string> stored;
      KeyedFiles::Query query{composed_};
      WEIR_RETURN_IF_ERROR(Where(shared_->files->Find(
          {&query, 1}, [&](uint32_t, std::string_view found) { stored = std::string(found); })));
      std::string_view view = stored ? *stored : std::string_view();
      record = &log_.AddClean(hash, composed_, stored ? &view : nullptr);
    }
    if (record->deleted()) return std::nullopt;
    StoredValue value;
    WEIR_ASSIGN_OR_RETURN(bool there, Read(state, record->value(), value));
    if (!there) return std::nullopt;
    return value.value;
  }

  Status Put(StateId state, const StateKey& key, std::string_view sub_key,
             std::string_view value) override {
    const int schema = states_[state].registered;
    WEIR_CHECK(schema >= 0);
    WEIR_RETURN_IF_ERROR(CheckStateSizes(states_[state].name, key, sub_key, value));
    const Duration ttl = ttls_[static_cast<size_t>(state)];
    const Timestamp expires = ttl == 0 || ttl > kMaxTimestamp - now_ ? kMaxTimestamp : now_ + ttl;
    stored_.clear();
    StoredValue::Encode(schema, expires, value, stored_);
    Compose(state, key, sub_key);
    Note(state, log_.Put(KeyedLog::HashOf(state, key.hash, sub_key), composed_, stored_));
    return absl::OkStatus();
  }

  Status Delete(StateId state, const StateKey& key, std::string_view sub_key) override {
    WEIR_RETURN_IF_ERROR(CheckStateSizes(states_[state].name, key, sub_key, {}));
    Compose(state, key, sub_key);
    Note(state, log_.Delete(KeyedLog::HashOf(state, key.hash, sub_key), composed_));
    return absl::OkStatus();
  }

  Status Scan(StateId state, const StateKey& key, std::string_view from,
              const EntryVisitor& visit) override {
    const std::string prefix = Compose(state, key, {});
    const StatusOr<bool> go_on = Merge(state, prefix, from, IndexWalk(indexes_, prefix, from),
                                       [&](std::string_view composed, std::string_view value) {
                                         return visit(composed.substr(prefix.size()), value);
                                       });
    return go_on.status();
  }

  Status ScanAll(StateId state, const KeyVisitor& visit) override {
    absl::btree_map<int, SortedRecords> by_group;
    log_.ForEachUnwritten([&](const KeyedRecord& record) {
      const ComposedKey parts = Decompose(record.key());
      if (parts.state == state) by_group[parts.group].emplace_back(record.key(), &record);
    });
    std::string prefix;
    for (int group = options_.key_groups.first; group < options_.key_groups.last; ++group) {
      prefix.clear();
      ComposePrefix(group, state, prefix);
      SortedRecords& records = by_group[group];
      std::sort(records.begin(), records.end());
      WEIR_ASSIGN_OR_RETURN(bool go_on,
                            Merge(state, prefix, {}, RecordWalk{records},
                                  [&](std::string_view composed, std::string_view value) {
                                    const ComposedKey parts = Decompose(composed);
                                    return visit(parts.key, parts.sub_key, value);
                                  }));
      if (!go_on) break;
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Frozen> Freeze(CheckpointId) override {
    KeyedGeneration generation = Cut();
    auto frozen = std::make_unique<FrozenRocks>(shared_, generation.number, states_);
    shared_->generations.AddFrozen(std::move(generation));
    return frozen;
  }

  uint64_t bytes() const override { return memory_bytes() + shared_->files->bytes(); }
  uint64_t memory_bytes() const override { return log_.bytes() + IndexBytes(); }

 private:
  // Entries of maps that are not in the files yet, of one generation.
  struct Index {
    using Entries = absl::btree_map<std::string_view, const KeyedRecord*>;
    std::shared_ptr<Entries> entries = std::make_shared<Entries>();
    uint64_t end = UINT64_MAX;  // of the generation; set by the cut
  };
  // Both walk over records that hide those of the files, in the order of their keys.
  using SortedRecords = std::vector<std::pair<std::string_view, const KeyedRecord*>>;
  struct RecordWalk {
    const SortedRecords& records;
    size_t next = 0;
    bool valid() const { return next < records.size(); }
    std::string_view key() const { return records[next].first; }
    const KeyedRecord& record() const { return *records[next].second; }
    void Next() { ++next; }
  };
  // Of a map's entries that begin with `prefix`, those from `prefix` + `from` on.
  class IndexWalk {
   public:
    IndexWalk(const std::deque<Index>& newest_first, std::string_view prefix, std::string_view from)
        : prefix_(prefix) {
      const std::string start = std::string(prefix) + std::string(from);
      for (const Index& index : newest_first) {
        generations_.emplace_back(index.entries->lower_bound(start), index.entries->end());
      }
      Settle();
    }
    bool valid() const { return current_ != nullptr; }
    std::string_view key() const { return current_->first->first; }
    const KeyedRecord& record() const { return *current_->first->second; }
    void Next() {
      const std::string_view passed = key();
      for (auto& [at, end] : generations_) {
        if (at != end && at->first == passed) ++at;
      }
      Settle();
    }

   private:
    using Place = std::pair<Index::Entries::const_iterator, Index::Entries::const_iterator>;

    // On the smallest key; of several generations that have it, in the newest one.
    void Settle() {
      current_ = nullptr;
      for (Place& place : generations_) {
        if (place.first == place.second || !place.first->first.starts_with(prefix_)) continue;
        if (current_ == nullptr || place.first->first < key()) current_ = &place;
      }
    }

    const std::string_view prefix_;
    std::vector<Place> generations_;  // newest first
    Place* current_ = nullptr;
  };

  size_t IndexBytes() const { return index_entries_ * kIndexEntryBytes; }

  Status Where(const Status& status) const {
    return Annotate(status, fmt::format("stage '{}'", options_.stage));
  }

  // Valid until the next call.
  const std::string& Compose(StateId state, const StateKey& key, std::string_view sub_key) {
    composed_.clear();
    ComposeKey(KeyGroupOf(key.hash), state, key.bytes, sub_key, composed_);
    return composed_;
  }

  KeyedGeneration Cut() {
    KeyedGeneration generation = log_.Cut();
    indexes_.front().end = generation.end;
    indexes_.emplace_front();
    return generation;
  }

  // Keys mostly are read in the order in which they were prefetched.
  void ExpectAsPrefetched(uint64_t hash) {
    if (next_place_ == places_.size() || log_.last().hash == hash) return;
    if (places_[next_place_].hash == hash) log_.Expect(places_[next_place_++]);
  }

  // Learns what the I/O pool has written.
  void TakeNotice() {
    const uint64_t written = shared_->written.load(std::memory_order_acquire);
    if (written == log_.written()) return;
    log_.SetWritten(written);
    while (indexes_.size() > 1 && indexes_.back().end <= written) {
      // Letting go of a large one takes a while.
      index_entries_ -= indexes_.back().entries->size();
      options_.env->io.Submit([entries = std::move(indexes_.back().entries)] {});
      indexes_.pop_back();
    }
    log_.SetBytesBeside(IndexBytes());
  }

  void Note(StateId state, const KeyedRecord& record) {
    if (!states_[state].sub_key) return;
    Index::Entries& entries = *indexes_.front().entries;
    auto [it, added] = entries.try_emplace(record.key(), &record);
    index_entries_ += added;
    if (added || it->second == &record) return;
    // The view of the key goes with the record.
    it = entries.erase(it);
    entries.emplace_hint(it, record.key(), &record);
  }

  // False: it has expired.
  StatusOr<bool> Read(StateId state, std::string_view stored, StoredValue& value) {
    if (!StoredValue::Decode(stored, value) ||
        static_cast<size_t>(value.schema) >= states_[state].schemas.size()) {
      return absl::DataLossError(fmt::format("stage '{}', state '{}': an entry is broken",
                                             options_.stage, states_[state].name));
    }
    last_schemas_[static_cast<size_t>(state)] = value.schema;
    return value.expires > now_;
  }

  // keys[i], for the i in `missing`, from the files into the log.
  Status Load(StateId state, std::span<const StateKey> keys, std::span<const uint32_t> missing) {
    std::vector<std::string> composed(missing.size());
    std::vector<KeyedFiles::Query> queries;
    queries.reserve(missing.size());
    for (size_t i = 0; i < missing.size(); ++i) {
      composed[i] = Compose(state, keys[missing[i]], {});
      queries.push_back({composed[i], static_cast<uint32_t>(i)});
    }
    std::vector<std::optional<std::string>> stored(missing.size());
    WEIR_RETURN_IF_ERROR(
        Where(shared_->files->Find(queries, [&](uint32_t index, std::string_view found) {
          stored[index] = std::string(found);
        })));
    for (size_t i = 0; i < missing.size(); ++i) {
      KeyedLog::Place& place = places_[missing[i]];
      if (log_.Find(place.hash, composed[i]) == nullptr) {  // else it is twice in this batch
        const std::string_view view = stored[i] ? *stored[i] : std::string_view();
        log_.AddClean(place.hash, composed[i], stored[i] ? &view : nullptr);
      }
      place = log_.last();
    }
    return absl::OkStatus();
  }

  // Calls visit(composed key, value) for the entries that begin with the prefix, from `prefix` +
  // `from` on and in order, until it returns false, which is then the result. `newer` is what is
  // not in the files yet.
  template <class Walk, class Visit>
  StatusOr<bool> Merge(StateId state, std::string_view prefix, std::string_view from, Walk newer,
                       Visit visit) {
    std::unique_ptr<KeyedFiles::Cursor> cursor = shared_->files->Scan(prefix, from);
    auto show = [&](std::string_view key, std::string_view stored) -> StatusOr<bool> {
      StoredValue value;
      WEIR_ASSIGN_OR_RETURN(bool there, Read(state, stored, value));
      return !there || visit(key, value.value);
    };
    while (newer.valid() || cursor->valid()) {
      bool go_on = true;
      if (!newer.valid() || (cursor->valid() && cursor->key() < newer.key())) {
        WEIR_ASSIGN_OR_RETURN(go_on, show(cursor->key(), cursor->stored()));
        cursor->Next();
      } else {
        if (cursor->valid() && cursor->key() == newer.key()) cursor->Next();
        if (!newer.record().deleted()) {
          WEIR_ASSIGN_OR_RETURN(go_on, show(newer.key(), newer.record().value()));
        }
        newer.Next();
      }
      if (!go_on) return false;
    }
    WEIR_RETURN_IF_ERROR(Where(cursor->status()));
    return true;
  }

  const RocksKeyedStoreOptions options_;
  const std::shared_ptr<Shared> shared_;
  std::unique_ptr<IoSequence> spills_;
  StateTable states_;
  std::vector<int> last_schemas_;  // by state: of the bytes that were returned last
  std::vector<Duration> ttls_;     // by state; 0: none
  KeyedLog log_;
  std::deque<Index> indexes_ = std::deque<Index>(1);  // newest first
  size_t index_entries_ = 0;                          // of all of them
  Timestamp now_;                                     // of the batch under way
  std::string composed_;
  std::string stored_;
  std::vector<KeyedLog::Place> places_;  // of the keys prefetched last
  size_t next_place_ = 0;                // the next that is expected to be read
};

}  // namespace

StatusOr<std::unique_ptr<KeyedStore>> MakeRocksKeyedStore(RocksKeyedStoreOptions options,
                                                          const Restore& restore) {
  std::vector<RestoredSnapshot> snapshots;
  for (const RestoredSnapshot& restored : restore.snapshots) {
    if (restored.snapshot.format.empty() || !restored.key_groups().Overlaps(options.key_groups)) {
      continue;
    }
    if (restored.snapshot.format != kRocksKeyedFormat) {
      return absl::FailedPreconditionError(
          fmt::format("stage '{}': the checkpoint holds keyed state of format '{}', wanted '{}'",
                      options.stage, restored.snapshot.format, kRocksKeyedFormat));
    }
    snapshots.push_back(restored);
  }
  StateTable states;
  auto files = KeyedFiles::Open({options.local_dir, options.env, options.key_groups}, snapshots,
                                restore.reader, states);
  if (!files.ok()) {
    return Annotate(files.status(), fmt::format("keyed state of stage '{}'", options.stage));
  }
  return std::make_unique<RocksKeyedStore>(std::move(options), std::move(states),
                                           *std::move(files));
}

}  // namespace weir
