// keyed_limit FOLDER [HOT_KEYS]: what the keyed benchmark is compared with, on the same keys;
// nothing of Weir.
//
// Hashes each key (XXH3, 64 bits), finds it in a table of open addressing (batches of 1,024,
// prefetch, huge pages) and adds one to its count; and, as often as a checkpoint of the engine
// comes along, sorts the keys that have changed and writes them as a sorted file of RocksDB. Prints
// one JSON object: CPU nanoseconds per update of one round for each step.
#include <xxhash.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/bare.h"
#include "bench/key_stream.h"
#include "bench/measure.h"

namespace {

using bare::kBatchRows;

struct Place {
  bench::KeyBytes key;  // all zeros: empty
  int64_t count;
  bool changed;
};

class Counts {
 public:
  explicit Counts(size_t keys)
      : mask_(std::bit_ceil(2 * keys) - 1), places_(bare::HugeArray<Place>(mask_ + 1)) {}

  void Prefetch(uint64_t hash) const { __builtin_prefetch(&places_[hash & mask_], 1); }
  void Increment(uint64_t hash, const bench::KeyBytes& key) {
    size_t i = hash & mask_;
    while (places_[i].key != key && places_[i].key[0] != 0) i = (i + 1) & mask_;
    places_[i].key = key;
    ++places_[i].count;
    places_[i].changed = true;
  }
  std::vector<Place> TakeChanged() {
    std::vector<Place> changed;
    for (size_t i = 0; i <= mask_; ++i) {
      if (!places_[i].changed) continue;
      changed.push_back(places_[i]);
      places_[i].changed = false;
    }
    return changed;
  }

 private:
  const size_t mask_;
  Place* const places_;
};

void WriteSorted(const std::string& path, std::vector<Place> places) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::memcmp(a.key.data(), b.key.data(), a.key.size()) < 0;
  });
  const rocksdb::Options options = bare::IdOptions();
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options, /*column_family=*/nullptr,
                                /*invalidate_page_cache=*/false);
  bare::Require(writer.Open(path));
  for (const Place& place : places) {
    const rocksdb::Slice key(place.key.data(), strnlen(place.key.data(), place.key.size()));
    const rocksdb::Slice count(reinterpret_cast<const char*>(&place.count), sizeof(place.count));
    bare::Require(writer.Put(key, count));
  }
  bare::Require(writer.Finish());  // syncs
}

void Run(const std::string& folder, uint64_t hot_keys) {
  constexpr int kRounds = 4;
  // Of ten seconds of the engine at about 3 million updates a second.
  constexpr uint64_t kUpdatesPerRound = 30 << 20;
  bench::KeyStream stream(hot_keys);
  Counts counts(hot_keys);
  std::array<bench::KeyBytes, kBatchRows> keys;
  std::array<size_t, kBatchRows> lengths;
  std::array<uint64_t, kBatchRows> hashes;
  std::vector<double> update_ns;
  std::vector<double> write_ns;
  for (int round = 0; round < kRounds; ++round) {
    int64_t update = 0;
    for (uint64_t n = 0; n < kUpdatesPerRound; n += kBatchRows) {
      for (size_t i = 0; i < kBatchRows; ++i) {
        lengths[i] = bench::KeyText(stream.Next(), keys[i]).size();
      }
      const int64_t start = bare::ThreadCpuNs();
      for (size_t i = 0; i < kBatchRows; ++i) {
        hashes[i] = XXH3_64bits(keys[i].data(), lengths[i]);
        counts.Prefetch(hashes[i]);
      }
      for (size_t i = 0; i < kBatchRows; ++i) counts.Increment(hashes[i], keys[i]);
      update += bare::ThreadCpuNs() - start;
    }
    const int64_t start = bare::ThreadCpuNs();
    WriteSorted(fmt::format("{}/{}.sst", folder, round), counts.TakeChanged());
    const int64_t write = bare::ThreadCpuNs() - start;
    update_ns.push_back(static_cast<double>(update) / kUpdatesPerRound);
    write_ns.push_back(static_cast<double>(write) / kUpdatesPerRound);
  }
  bench::Report report;
  report.Add("hash, find, add", bench::Median(update_ns));
  report.Add("sort and write what changed", bench::Median(write_ns));
  report.Print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) bare::Fail("usage: keyed_limit FOLDER [HOT_KEYS]");
  const std::string folder = argv[1];
  Run(folder, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000);
  return 0;
}
