// Dedup: lets the first of equal rows through and drops the others, exactly, for a window of event
// time or of arrival.
//
//   auto key = [](const Event& e) { return e.id; };
//   Dedup<Event, decltype(key)> dedup({.window = Hours(24)}, key);
//   auto fields = [](const Order& o) { return std::tuple(o.customer, o.number); };
//   auto tenant = [](const Order& o) { return o.shop; };
//   Dedup<Order, decltype(fields), decltype(tenant)> by_fields({}, fields, tenant);
//
// Two rows are equal if their keys are. What counts as a duplicate, slice by slice of window/8, is
// defined in state/id_store.h. A row below the floor, which follows the watermark 8 slices behind,
// is late: it is rejected, since it can no longer be told whether it was seen before. Of equal rows
// the one that arrives first is kept. Rows keep their order, times and key hashes; they leave on
// port 0. A row whose key function fails is rejected.
//
// By arrival nothing is late and the rows' own times do not matter; see operators/arrival_clock.h.
//
// Counters: unique, duplicates, late; with a tenant function, the same for each tenant.
//
// The stream must be keyed by the same key, or have one subtask. State: the ids (format
// id-store/1), dealt out anew when the parallelism changes; another window, or the other kind of
// time, needs a fresh start.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/hash.h"
#include "core/row_codec.h"
#include "operators/arrival_clock.h"
#include "operators/operator.h"
#include "operators/transforms/key_bytes.h"
#include "operators/transforms/user_call.h"
#include "state/id_store.h"

namespace weir {

enum class DedupTime : uint8_t { kEventTime, kArrival };

struct DedupOptions {
  Duration window = Hours(24);  // a positive multiple of 8 microseconds
  DedupTime time = DedupTime::kEventTime;
  size_t unwritten_bytes_max =
      limits::kFrozenBytesMax;                // ids in memory alone before they are spilled
  size_t kept_bytes = limits::kIdsKeptBytes;  // of written ids that stay in memory
};

// "window=1d", "window=1h time=arrival".
std::string ToText(const DedupOptions& options);

// What does not depend on the row's type.
class DedupBase : public Operator {
 public:
  explicit DedupBase(DedupOptions options) : options_(options) {}

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  void Close() override;
  // Slices between the inputs' watermarks cannot be freed: a window's worth of them is enough.
  std::optional<Duration> watermark_drift_max() const override {
    return by_arrival() ? std::nullopt : std::optional(options_.window);
  }

 protected:
  // Appends the key of every row that has one. The others it rejects, and sets their keep[i] to 0;
  // true if there are such.
  virtual bool AppendFingerprints(const BatchBase& batch, std::vector<Fingerprint>& ids,
                                  std::vector<uint8_t>& keep, Output& out) = 0;
  virtual void CountTenants(const BatchBase& batch, std::span<const IdStore::Verdict> verdicts,
                            TenantCounts& tenants) = 0;
  virtual void RejectRow(const BatchBase& batch, size_t row, const Status& status, Output& out) = 0;
  virtual void CompactIfSparse(BatchPtr& batch) = 0;

 private:
  bool by_arrival() const { return options_.time == DedupTime::kArrival; }
  int64_t SliceOfArrival();
  void CutIntoSlices(std::span<const Timestamp> times);
  void Count(const BatchBase& batch, size_t kept, size_t late);
  Status LateStatus(Timestamp time) const;

  const DedupOptions options_;
  OperatorCounters* counters_ = nullptr;
  std::unique_ptr<IdStore> store_;
  std::optional<ArrivalClock> arrival_;  // set if rows go by it
  BatchPtr waiting_;                     // taken while the store was full

  // Of the batch under way.
  std::vector<Fingerprint> ids_;
  std::vector<int64_t> slices_;
  std::vector<IdStore::Verdict> verdicts_;
  std::vector<uint8_t> keep_;
};

// For rows that are not counted by tenant.
struct NoTenant {};

// `KeyFn` returns a string, a string_view that need only live until the next call, or any type with
// a Codec: a tuple of fields, for one. `TenantFn` is std::string_view(const T&), into the row.
template <class T, class KeyFn, class TenantFn = NoTenant>
class Dedup final : public DedupBase {
 public:
  Dedup(DedupOptions options, KeyFn key, TenantFn tenant = {})
      : DedupBase(options), key_(std::move(key)), tenant_(std::move(tenant)) {}

 protected:
  bool AppendFingerprints(const BatchBase& batch, std::vector<Fingerprint>& ids,
                          std::vector<uint8_t>& keep, Output& out) override {
    const Batch<T>& rows = Batch<T>::Of(batch);
    bool any_rejected = false;
    for (size_t i = 0; i < rows.rows(); ++i) {
      Status status = internal::GuardedCall([&] {
        ids.push_back(Hash128(KeyBytes(key_(rows[i]), buffer_)));
        return absl::OkStatus();
      });
      if (status.ok()) continue;
      internal::RejectRow(rows[i], rows.times()[i], status, out);
      keep[i] = 0;
      any_rejected = true;
    }
    return any_rejected;
  }
  void CountTenants(const BatchBase& batch, std::span<const IdStore::Verdict> verdicts,
                    TenantCounts& tenants) override {
    if constexpr (!std::is_same_v<TenantFn, NoTenant>) {
      static_assert(std::is_same_v<decltype(tenant_(std::declval<const T&>())), std::string_view>,
                    "the tenant is a string_view into the row");
      const Batch<T>& rows = Batch<T>::Of(batch);
      counts_.clear();
      index_.clear();
      std::array<uint64_t, 3>* last = nullptr;
      std::string_view last_tenant;
      for (size_t i = 0; i < rows.rows(); ++i) {
        const std::string_view tenant = tenant_(rows[i]);
        if (last == nullptr || tenant != last_tenant) {
          const auto [at, is_new] = index_.try_emplace(tenant, counts_.size());
          if (is_new) counts_.emplace_back();
          last = &counts_[at->second];
          last_tenant = tenant;
        }
        ++(*last)[static_cast<size_t>(verdicts[i])];
      }
      for (const auto& [tenant, at] : index_) tenants.Add(tenant, counts_[at]);
    }
  }
  void RejectRow(const BatchBase& batch, size_t row, const Status& status, Output& out) override {
    internal::RejectRow(Batch<T>::Of(batch)[row], batch.times()[row], status, out);
  }
  void CompactIfSparse(BatchPtr& batch) override { codec_->CompactIfSparse(batch); }

 private:
  KeyFn key_;
  TenantFn tenant_;
  std::string buffer_;
  // Of the batch under way: by tenant, counts by verdict.
  absl::flat_hash_map<std::string_view, size_t> index_;
  std::vector<std::array<uint64_t, 3>> counts_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
};

}  // namespace weir
