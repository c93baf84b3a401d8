// dedup_bench FOLDER [IDS]: what deduplication costs with so many ids (50 million) in the id store.
//
// Ids arrive in batches of 1,024 and event time advances with them, so that the number of live ids
// stays where it is while slices come and go. Three measurements, one after the other in the same
// store, with a real checkpoint store in FOLDER:
//   new ids         CPU time of all threads, three checkpoints ten seconds apart included, the last
//                   of them to its end: every id that is counted is durable
//   pauses          how long Freeze() and the Accept() behind it hold the thread, over many
//                   checkpoints in quick succession
//   old duplicates  one id in ten repeats a live one, nearly always one that only the files hold
// Prints one JSON object. Making the input is left out of the CPU time.
#include <cstdlib>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "bench/checkpoints.h"
#include "bench/id_stream.h"
#include "bench/measure.h"
#include "core/environment.h"
#include "state/id_store.h"

namespace {

using bare::kBatchRows;
using bench::Require;
using weir::Fingerprint;
using weir::IdStore;

constexpr int kCheckpoints = 3;
constexpr int64_t kCheckpointIntervalNs = 10'000'000'000;
// A million a second: more than a whole pipeline on a core brings, and so few that the window is
// not new altogether at each checkpoint.
constexpr int64_t kNsPerId = 1'000;
constexpr uint64_t kIdsPerCheckpoint = kCheckpointIntervalNs / kNsPerId;
constexpr int kPauses = 200;
constexpr uint64_t kIdsPerPause = 1 << 19;
constexpr uint64_t kDuplicateRows = 1 << 21;

class Dedup {
 public:
  Dedup(const std::string& folder, uint64_t live_ids)
      : live_ids_(live_ids),
        checkpoints_(env_, bench::MakeFolder(folder, "checkpoints")),
        stream_(live_ids) {
    weir::IdStoreOptions options;
    options.stage = "dedup";
    options.local_dir = bench::MakeFolder(folder, "ids");
    options.env = &env_;
    options.wake = [this] { woken_.release(); };
    store_ = Require(IdStore::Open(std::move(options), {}));
  }

  void Fill() {
    constexpr uint64_t kBatchesPerCheckpoint = 8 << 10;
    for (uint64_t batch = 1; stream_.next() < live_ids_; ++batch) {
      stream_.NextBatch();
      Accept();
      if (batch % kBatchesPerCheckpoint != 0) continue;
      checkpoints_.Wait();
      Checkpoint();
    }
    checkpoints_.Wait();
    Checkpoint();
    checkpoints_.Wait();
  }

  void MeasureNewIds(bench::Report& report) {
    const uint64_t first = stream_.next();
    bench::CpuTime cpu;
    const int64_t start = bench::WallNs();
    for (int i = 1; i <= kCheckpoints; ++i) {
      const uint64_t end = first + i * kIdsPerCheckpoint;
      while (stream_.next() < end) {
        cpu.Exclude([&] { stream_.NextBatch(); });
        Accept();
        bench::SleepUntil(start + static_cast<int64_t>(stream_.next() - first) * kNsPerId);
      }
      checkpoints_.Wait();
      Checkpoint();
    }
    checkpoints_.Wait();
    const auto ids = static_cast<double>(stream_.next() - first);
    report.Add("new_ids", ids);
    report.Add("ns_per_new_id", static_cast<double>(cpu.ns()) / ids);
    report.Add("live_ids", static_cast<double>(store_->size()));
    report.Add("memory_bytes_per_live_id",
               static_cast<double>(store_->memory_bytes()) / static_cast<double>(store_->size()));
  }

  void MeasurePauses(bench::Report& report) {
    bench::Durations pauses;
    bench::Durations freezes;
    bench::Durations calls;
    for (int i = 0; i < kPauses; ++i) {
      checkpoints_.Wait();
      stream_.NextBatch();
      pauses.Measure([&] {
        freezes.Measure([&] { Checkpoint(); });
        Accept();
      });
      for (const uint64_t end = stream_.next() + kIdsPerPause; stream_.next() < end;) {
        stream_.NextBatch();
        Ready();
        calls.Measure([&] { Judge(); });
      }
    }
    checkpoints_.Wait();
    pauses.AddTo(report, "pause");
    freezes.AddTo(report, "freeze");
    calls.AddTo(report, "accept");
  }

  void MeasureOldDuplicates(bench::Report& report) {
    Checkpoint();
    checkpoints_.Wait();
    uint64_t duplicates = 0;
    uint64_t random = 1;
    bench::CpuTime cpu;
    for (uint64_t rows = 0; rows < kDuplicateRows; rows += kBatchRows) {
      cpu.Exclude([&] {
        stream_.NextBatch();
        for (size_t row = 0; row < kBatchRows; row += 10) {
          random = random * 6364136223846793005u + 1442695040888963407u;
          // Seven slices back at most, so that event time's jitter takes none out of reach.
          stream_.Repeat(
              row, stream_.next() - kBatchRows - (random >> 20) % (7 * stream_.ids_per_slice()));
        }
      });
      Accept();
      for (size_t row = 0; row < kBatchRows; row += 10) {
        duplicates += verdicts_[row] == IdStore::Verdict::kDuplicate;
      }
    }
    report.Add("duplicates", static_cast<double>(duplicates));
    report.Add("ns_per_row_with_old_duplicates",
               static_cast<double>(cpu.ns()) / static_cast<double>(kDuplicateRows));
  }

 private:
  void Ready() {
    while (!Require(store_->Ready())) woken_.acquire();
  }
  // As the dedup operator does, on the batch that the stream holds.
  void Judge() {
    for (size_t i = 0; i < kBatchRows; ++i) ids_[i] = weir::Hash128(stream_.id(i));
    Require(store_->Accept(ids_, stream_.slices(), verdicts_));
    store_->RaiseFloor(stream_.newest_slice() - IdStore::kReach);
  }
  void Accept() {
    Ready();
    Judge();
  }
  void Checkpoint() { checkpoints_.Write(store_->Freeze(checkpoints_.next())); }

  const uint64_t live_ids_;
  weir::Environment& env_ = weir::RealEnvironment();
  bench::Checkpoints checkpoints_;
  std::counting_semaphore<> woken_{0};
  std::unique_ptr<IdStore> store_;

  bench::IdStream stream_;
  std::vector<Fingerprint> ids_{kBatchRows};
  std::vector<IdStore::Verdict> verdicts_{kBatchRows};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) bare::Fail("usage: dedup_bench FOLDER [IDS]");
  const std::string folder(argv[1]);
  Dedup dedup(folder, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 50'000'000);
  bench::Report report;
  dedup.Fill();
  dedup.MeasureNewIds(report);
  dedup.MeasurePauses(report);
  dedup.MeasureOldDuplicates(report);
  report.Print();
  return 0;
}
