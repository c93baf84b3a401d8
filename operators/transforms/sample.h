// Sample: keeps a share of the rows, chosen by a hash.
//
//   auto user = [](const Click& c) { return c.user; };
//   auto weigh = [](Click& c, double weight) { c.weight *= weight; };
//   Sample<Click, decltype(user), decltype(weigh)> sample({.share = 0.01}, user, weigh);
//
// With a key, all rows of a key are kept, or none: by the key and the seed alone, so in every run,
// at every parallelism, and in every stage with the same seed. Without one (EachRow), rows are
// chosen one by one, and as before after a restart at the same parallelism.
//
// A row that is kept stands for 1/share rows: `set_weight`, where given, is called with that number
// for each, so that sums of weights estimate counts without bias. A stage behind another one
// multiplies. Rows keep their order, times and key hashes.
//
// Costs a hash a row; keyed state is not needed. Rows whose function fails are rejected.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/row_codec.h"
#include "operators/operator.h"
#include "operators/transforms/key_bytes.h"
#include "operators/transforms/user_call.h"

namespace weir {

struct SampleOptions {
  double share = 0.1;  // of the rows, or of the keys; above 0 and at most 1
  // Without one, the stage's name is it: two stages choose independently of each other.
  std::optional<uint64_t> seed;
};

// "share=0.1 seed=7".
std::string ToText(const SampleOptions& options);
// InvalidArgument says what is wrong.
Status Validate(const SampleOptions& options);

struct EachRow {};
struct NoWeight {};

// What does not depend on the row's type.
class SampleBase : public Operator {
 public:
  explicit SampleBase(SampleOptions options);

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;

 protected:
  // Hash64 of a key deals rows out to instances, so it is mixed anew.
  bool Keeps(uint64_t hash) const { return Mix(hash ^ seed_) <= threshold_; }
  uint64_t NextRow() { return row_seed_ + rows_++; }
  double weight() const { return 1 / options_.share; }
  void CountDropped(size_t rows) { counters_->dropped += rows; }

 private:
  // The finalizer of SplitMix64.
  static uint64_t Mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  const SampleOptions options_;
  const uint64_t threshold_;  // kept are the hashes up to it
  uint64_t seed_ = 0;
  uint64_t row_seed_ = 0;  // of this subtask
  uint64_t rows_ = 0;      // chosen one by one so far; state
  OperatorCounters* counters_ = nullptr;
};

// `KeyFn` returns a string, a string_view into the row or any type with a Codec. `WeightFn` is
// void(T&, double).
template <class T, class KeyFn = EachRow, class WeightFn = NoWeight>
class Sample final : public SampleBase {
 public:
  explicit Sample(SampleOptions options, KeyFn key = {}, WeightFn set_weight = {})
      : SampleBase(options), key_(std::move(key)), set_weight_(std::move(set_weight)) {}

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    Batch<T>& rows = Batch<T>::Of(*batch);
    keep_.assign(rows.rows(), 0);
    size_t kept = 0;
    size_t rejected = 0;
    for (size_t i = 0; i < rows.rows(); ++i) {
      bool keep = false;
      Status status = internal::GuardedCall([&] {
        keep = Keeps(HashOf(rows[i]));
        if constexpr (!std::is_same_v<WeightFn, NoWeight>) {
          if (keep) set_weight_(rows[i], weight());
        }
        return absl::OkStatus();
      });
      if (!status.ok()) {
        internal::RejectRow(rows[i], rows.times()[i], status, out);
        keep = false;
        ++rejected;
      }
      keep_[i] = keep;
      kept += keep;
    }
    CountDropped(rows.rows() - kept - rejected);
    if (kept < rows.rows()) {
      batch->Retain(keep_);
      codec_->CompactIfSparse(batch);
    }
    out.Emit(0, std::move(batch));
    return Progress::kDone;
  }

 private:
  uint64_t HashOf(const T& row) {
    if constexpr (std::is_same_v<KeyFn, EachRow>) {
      return NextRow();
    } else {
      return Hash64(KeyBytes(key_(row), buffer_));
    }
  }

  KeyFn key_;
  WeightFn set_weight_;
  std::string buffer_;
  std::vector<uint8_t> keep_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
};

}  // namespace weir
