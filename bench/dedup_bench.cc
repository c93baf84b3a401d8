// What deduplication costs per id: on the task's thread for new ids and for duplicates whose first
// copies were written long ago, and on the I/O pool for making ids durable. Batches of 1,024 rows;
// 5 million ids in the state unless an argument says otherwise.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/environment.h"
#include "core/hash.h"
#include "state/id_store.h"
#include "state/id_store_sort.h"

namespace weir {
namespace {

constexpr size_t kBatchRows = 1024;
constexpr int kSlices = 9;  // that the ids are spread over

class Discard final : public SnapshotWriter {
 public:
  StatusOr<StateFile> AddFile(const std::string& path, std::string name) override {
    return StateFile{std::move(name), path, 0};
  }
  StatusOr<StateFile> AddBytes(std::string_view bytes, std::string name) override {
    return StateFile{std::move(name), "", bytes.size()};
  }
};

Fingerprint IdOf(uint64_t n) { return Hash128({reinterpret_cast<const char*>(&n), sizeof(n)}); }

// A store that has accepted, written and forgotten (but for its files and its filter) so many ids.
class Filled {
 public:
  explicit Filled(uint64_t ids) {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-bench-XXXXXX").string();
    WEIR_CHECK(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    IdStoreOptions options;
    options.stage = "dedup";
    options.local_dir = folder_;
    options.env = &RealEnvironment();
    options.kept_bytes = 0;
    store_ = *IdStore::Open(std::move(options), {});
    while (next_ < ids) {
      AcceptNew();
      if (next_ % (1 << 20) == 0) Write();
    }
    Write();
  }
  ~Filled() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Prepare(double duplicates) {
    ids_.resize(kBatchRows);
    slices_.assign(kBatchRows, 0);
    const uint64_t old = next_;
    for (size_t i = 0; i < kBatchRows; ++i) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      const bool again = static_cast<double>(random_ >> 11) * 0x1p-53 < duplicates;
      uint64_t id = again ? (random_ >> 20) % old : next_++;
      ids_[i] = IdOf(id);
      slices_[i] = static_cast<int64_t>(id / kBatchRows % kSlices);
    }
  }
  void Accept() {
    verdicts_.resize(kBatchRows);
    Status status = store_->Accept(ids_, slices_, verdicts_);
    WEIR_CHECK(status.ok());
  }
  void AcceptNew() {
    Prepare(0);
    Accept();
  }
  void Write() {
    auto frozen = store_->Freeze(1);
    WEIR_CHECK(frozen->Write(discard_).ok());
  }
  IdStore& store() { return *store_; }

 private:
  std::string folder_;
  Discard discard_;
  std::unique_ptr<IdStore> store_;
  uint64_t next_ = 0;
  uint64_t random_ = 1;
  std::vector<Fingerprint> ids_;
  std::vector<int64_t> slices_;
  std::vector<IdStore::Verdict> verdicts_;
};

double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// CPU time of single batches, since a mean says little on a machine that others use too.
class BatchTimes {
 public:
  template <class Work>
  void Measure(benchmark::State& state, Work work) {
    const double start = ThreadSeconds();
    work();
    const double seconds = ThreadSeconds() - start;
    state.SetIterationTime(seconds);
    seconds_.push_back(seconds);
  }
  // In nanoseconds per row.
  void Report(benchmark::State& state) {
    std::sort(seconds_.begin(), seconds_.end());
    auto at = [&](double part) {
      return seconds_[static_cast<size_t>(part * static_cast<double>(seconds_.size() - 1))] * 1e9 /
             kBatchRows;
    };
    double sum = 0;
    for (double s : seconds_) sum += s;
    state.counters["ns_mean"] = sum / static_cast<double>(seconds_.size()) * 1e9 / kBatchRows;
    state.counters["ns_p10"] = at(0.1);
    state.counters["ns_p50"] = at(0.5);
    state.counters["ns_p99"] = at(0.99);
  }

 private:
  std::vector<double> seconds_;
};

// The limit: nothing but one exact table in huge pages that never grows.
void BM_BareTable(benchmark::State& state) {
  struct Slot {
    Fingerprint id;
    uint64_t slice;
  };
  constexpr size_t kHugePage = 2 << 20;
  constexpr size_t kSlots = 1 << 24;
  constexpr size_t kMask = kSlots - 1;
  auto* slots = static_cast<Slot*>(std::aligned_alloc(kHugePage, kSlots * sizeof(Slot)));
  madvise(slots, kSlots * sizeof(Slot), MADV_HUGEPAGE);
  std::memset(static_cast<void*>(slots), 0, kSlots * sizeof(Slot));
  uint64_t next = 0;
  std::vector<Fingerprint> ids(kBatchRows);
  BatchTimes times;
  auto probe = [&] {
    for (const Fingerprint& id : ids) __builtin_prefetch(&slots[id.low & kMask], 1);
    for (const Fingerprint& id : ids) {
      size_t at = id.low & kMask;
      while (slots[at].slice != 0 && slots[at].id != id) at = (at + 1) & kMask;
      slots[at] = {id, 1};
    }
  };
  auto new_ids = [&] {
    for (Fingerprint& id : ids) id = IdOf(next++);
  };
  while (next < 5'000'000) {
    new_ids();
    probe();
  }
  for (auto _ : state) {
    new_ids();
    times.Measure(state, probe);
  }
  times.Report(state);
  std::free(slots);
}
BENCHMARK(BM_BareTable)->UseManualTime()->Iterations(2000)->Unit(benchmark::kMicrosecond);

// Arguments: ids in the state, duplicates in percent.
void BM_Accept(benchmark::State& state) {
  Filled filled(static_cast<uint64_t>(state.range(0)));
  BatchTimes times;
  for (auto _ : state) {
    filled.Prepare(static_cast<double>(state.range(1)) / 100);
    times.Measure(state, [&] { filled.Accept(); });
  }
  times.Report(state);
  state.counters["bytes_per_id"] = static_cast<double>(filled.store().memory_bytes()) /
                                   static_cast<double>(filled.store().size());
}
BENCHMARK(BM_Accept)
    ->ArgNames({"ids", "duplicates_pct"})
    ->Args({100'000, 0})
    ->Args({5'000'000, 0})
    ->Args({5'000'000, 10})
    ->UseManualTime()
    ->Iterations(2000)
    ->Unit(benchmark::kMicrosecond);

// A checkpoint of a million new ids: sorting, writing and taking them in.
void BM_WriteGeneration(benchmark::State& state) {
  constexpr int kBatches = 1024;
  Filled filled(static_cast<uint64_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < kBatches; ++i) filled.AcceptNew();
    state.ResumeTiming();
    filled.Write();
  }
  state.counters["per_id"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kBatches * kBatchRows),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_WriteGeneration)
    ->ArgNames({"ids"})
    ->Arg(5'000'000)
    ->Iterations(4)
    ->Unit(benchmark::kMillisecond);

void BM_Sort(benchmark::State& state) {
  std::vector<Fingerprint> unsorted;
  for (uint64_t i = 0; i < static_cast<uint64_t>(state.range(0)); ++i) unsorted.push_back(IdOf(i));
  std::vector<Fingerprint> scratch;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Fingerprint> ids = unsorted;
    state.ResumeTiming();
    SortFingerprints(ids, scratch);
    benchmark::DoNotOptimize(ids.data());
  }
  state.counters["per_id"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Sort)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
