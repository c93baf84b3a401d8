// keyed_bench FOLDER [HOT_KEYS [ALL_KEYS [TEXT_BYTES]]]: what keyed state costs: a process operator
// that counts the rows of each key, in batches of 1,024, with a real checkpoint store in FOLDER;
// with a text of TEXT_BYTES (0) beside each count.
//
//   updates  of HOT_KEYS (1 million), each as likely as any other: CPU time of all threads, three
//            checkpoints ten seconds apart included, the last of them to its end
//   pauses   with ALL_KEYS (20 million) in the state: how long Freeze() and the Process() behind it
//            hold the thread, over many checkpoints in quick succession. Nine rows in ten are of
//            the hot keys.
// Prints one JSON object. Making the input is left out of the CPU time.
#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <semaphore>
#include <string>
#include <string_view>
#include <utility>

#include "bench/checkpoints.h"
#include "bench/key_stream.h"
#include "bench/measure.h"
#include "core/check.h"
#include "core/environment.h"
#include "core/event.h"
#include "operators/transforms/process.h"
#include "state/keyed_state.h"

namespace {

using bare::kBatchRows;
using bench::Require;
using weir::Batch;
using weir::Event;

constexpr int kCheckpoints = 3;
constexpr int64_t kCheckpointIntervalNs = 10'000'000'000;
constexpr int kPauses = 200;
constexpr uint64_t kRowsPerPause = 1 << 17;

// The store that is measured.
std::unique_ptr<weir::KeyedStore> MakeStore(const std::string& folder, weir::Environment& env,
                                            std::function<void()> wake) {
  weir::RocksKeyedStoreOptions options;
  options.stage = "keyed";
  options.local_dir = folder + "/state";
  options.env = &env;
  options.wake = std::move(wake);
  return Require(weir::MakeRocksKeyedStore(options, {}));
}

struct Counted {
  int64_t count = 0;
  std::string text;
  BOOST_DESCRIBE_CLASS(Counted, (), (count, text), (), ())
};

struct Count {
  weir::ValueState<int64_t> count;
  weir::ValueState<Counted> counted;
  size_t text_bytes = 0;
  weir::Status Open(weir::KeyedStore& store) {
    if (text_bytes == 0) {
      WEIR_ASSIGN_OR_RETURN(count, weir::ValueState<int64_t>::Register(store, "count"));
    } else {
      WEIR_ASSIGN_OR_RETURN(counted, weir::ValueState<Counted>::Register(store, "counted"));
    }
    return absl::OkStatus();
  }
  weir::Status Process(const Event&, weir::ProcessContext<Event>& context) {
    if (text_bytes > 0) {
      WEIR_ASSIGN_OR_RETURN(auto before, counted.Get(context.key()));
      Counted now = before ? *std::move(before) : Counted{0, std::string(text_bytes, 'x')};
      ++now.count;
      return counted.Set(context.key(), now);
    }
    WEIR_ASSIGN_OR_RETURN(const auto before, count.Get(context.key()));
    return count.Set(context.key(), before.value_or(0) + 1);
  }
};

struct KeyOf {
  std::string_view operator()(const Event& event) const { return event.id; }
};

class NoOutput final : public weir::Output {
 public:
  void Emit(int, weir::BatchPtr batch) override { WEIR_CHECK(batch == nullptr || batch->empty()); }
  void Reject(std::string_view error, std::string_view, weir::Timestamp) override {
    bare::Fail(error);
  }
};

class Keyed {
 public:
  Keyed(const std::string& folder, size_t text_bytes)
      : checkpoints_(env_, bench::MakeFolder(folder, "checkpoints")),
        store_(MakeStore(folder, env_, [this] { wakes_.release(); })),
        operator_(Count{.text_bytes = text_bytes}, KeyOf{}) {
    weir::OperatorContext context;
    context.keyed = store_.get();
    context.env = &env_;
    Require(operator_.Open(context));
  }

  // Each key of [first, last) once, with a checkpoint now and then.
  void Fill(uint64_t first, uint64_t last) {
    constexpr uint64_t kKeysPerCheckpoint = 1 << 21;
    uint64_t next_checkpoint = first + kKeysPerCheckpoint;
    for (uint64_t key = first; key < last;) {
      auto batch = std::make_unique<Batch<Event>>();
      batch->Reserve(kBatchRows);
      for (size_t i = 0; i < kBatchRows && key < last; ++i) AddRow(key++, i, *batch);
      Process(std::move(batch));
      if (key < next_checkpoint) continue;
      next_checkpoint += kKeysPerCheckpoint;
      checkpoints_.Wait();
      Checkpoint();
    }
    checkpoints_.Wait();
    Checkpoint();
    checkpoints_.Wait();
  }

  void MeasureUpdates(uint64_t hot_keys, bench::Report& report) {
    bench::KeyStream stream(hot_keys);
    uint64_t updates = 0;
    bench::CpuTime cpu;
    const int64_t start = bench::WallNs();
    for (int i = 1; i <= kCheckpoints; ++i) {
      while (bench::WallNs() < start + i * kCheckpointIntervalNs) {
        weir::BatchPtr batch;
        cpu.Exclude([&] { batch = MakeBatch([&] { return stream.Next(); }); });
        Process(std::move(batch));
        updates += kBatchRows;
      }
      checkpoints_.Wait();
      Checkpoint();
    }
    checkpoints_.Wait();
    report.Add("updates", static_cast<double>(updates));
    report.Add("ns_per_update", static_cast<double>(cpu.ns()) / static_cast<double>(updates));
    report.Add("state_bytes_per_key",
               static_cast<double>(store_->bytes()) / static_cast<double>(hot_keys));
  }

  void MeasurePauses(uint64_t hot_keys, uint64_t all_keys, bench::Report& report) {
    bench::KeyStream hot(hot_keys);
    bench::KeyStream all(all_keys);
    bench::KeyStream which(10);
    const auto make = [&] {
      return MakeBatch([&] { return which.Next() == 0 ? all.Next() : hot.Next(); });
    };
    bench::Durations pauses;
    bench::Durations freezes;
    bench::Durations calls;
    for (int i = 0; i < kPauses; ++i) {
      checkpoints_.Wait();
      weir::BatchPtr batch = make();
      pauses.Measure([&] {
        freezes.Measure([&] { Checkpoint(); });
        Process(std::move(batch));
      });
      for (uint64_t rows = 0; rows < kRowsPerPause; rows += kBatchRows) {
        batch = make();
        calls.Measure([&] { Process(std::move(batch)); });
      }
    }
    checkpoints_.Wait();
    report.Add("state_bytes", static_cast<double>(store_->bytes()));
    pauses.AddTo(report, "pause");
    freezes.AddTo(report, "freeze");
    calls.AddTo(report, "process");
  }

 private:
  void AddRow(uint64_t key, size_t row, Batch<Event>& batch) {
    Event event;
    event.id = bench::KeyText(key, texts_[row]);
    batch.Add(event, 0);
  }
  // The keys' bytes live until the next batch.
  template <class NextKey>
  weir::BatchPtr MakeBatch(NextKey next_key) {
    auto batch = std::make_unique<Batch<Event>>();
    batch->Reserve(kBatchRows);
    for (size_t i = 0; i < kBatchRows; ++i) AddRow(next_key(), i, *batch);
    return batch;
  }
  void Process(weir::BatchPtr batch) {
    weir::Progress progress = Require(operator_.Process(0, std::move(batch), out_));
    while (progress != weir::Progress::kDone) {
      if (progress == weir::Progress::kBlocked) wakes_.acquire();
      progress = Require(operator_.Resume(out_));
    }
  }
  void Checkpoint() { checkpoints_.Write(store_->Freeze(checkpoints_.next())); }

  weir::Environment& env_ = weir::RealEnvironment();
  bench::Checkpoints checkpoints_;
  std::counting_semaphore<> wakes_{0};
  const std::unique_ptr<weir::KeyedStore> store_;
  weir::ProcessOperator<Event, Event, Count, KeyOf> operator_;
  NoOutput out_;
  std::array<bench::KeyBytes, kBatchRows> texts_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 5) {
    bare::Fail("usage: keyed_bench FOLDER [HOT_KEYS [ALL_KEYS [TEXT_BYTES]]]");
  }
  const uint64_t hot_keys = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const uint64_t all_keys = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 20'000'000;
  const uint64_t text_bytes = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0;
  const std::string folder(argv[1]);
  Keyed keyed(folder, text_bytes);
  bench::Report report;
  keyed.Fill(0, hot_keys);
  keyed.MeasureUpdates(hot_keys, report);
  keyed.Fill(hot_keys, all_keys);
  keyed.MeasurePauses(hot_keys, all_keys, report);
  report.Print();
  return 0;
}
