// dedup_limit (loop | rocksdb) FOLDER [IDS]: what the dedup benchmark is compared with, on the same
// ids; nothing of Weir.
//
//   loop     hashes ids (XXH3, 128 bits), probes an exact table of all ids, IDS (50 million) of
//            which it holds already, and makes the new ones durable: sorts them and writes them as
//            sorted RocksDB files, one for each slice
//   rocksdb  the ids in a RocksDB that holds IDS already: one MultiGet a batch, one WriteBatch for
//            those that are new, the WAL off
// Prints one JSON object: CPU time of all threads per new id. Making the input is left out.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <xxhash.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bare.h"
#include "bench/id_stream.h"
#include "bench/measure.h"

namespace {

using bare::Id;
using bare::kBatchRows;

std::vector<Id> ids(kBatchRows);

void Hash(const bench::IdStream& stream) {
  for (size_t i = 0; i < kBatchRows; ++i) {
    const XXH128_hash_t hash = XXH3_128bits(stream.id(i).data(), stream.id(i).size());
    ids[i] = {hash.high64, hash.low64};
  }
}

void RunLoop(const std::string& folder, uint64_t live_ids) {
  constexpr int kRounds = 4;
  constexpr uint64_t kIdsPerRound = 6 << 20;
  bench::IdStream stream(live_ids);
  bare::IdTable table(live_ids + kRounds * kIdsPerRound);
  std::vector<uint8_t> is_new(kBatchRows);
  while (stream.next() < live_ids) {
    stream.NextBatch();
    Hash(stream);
    table.Insert(ids, is_new);
  }

  std::vector<double> probe_ns, sort_ns, write_ns;
  // By slice; vectors that have grown are used again.
  std::map<int64_t, std::vector<Id>> new_ids;
  std::vector<std::vector<Id>> spare;
  const auto ids_of = [&](int64_t slice) {
    std::vector<Id>& of_slice = new_ids[slice];
    if (of_slice.capacity() == 0 && !spare.empty()) {
      of_slice.swap(spare.back());
      spare.pop_back();
    }
    return &of_slice;
  };
  for (int round = 0; round < kRounds; ++round) {
    int64_t probe = 0, sort = 0, write = 0;
    for (const uint64_t end = stream.next() + kIdsPerRound; stream.next() < end;) {
      stream.NextBatch();
      const int64_t start = bare::ThreadCpuNs();
      Hash(stream);
      table.Insert(ids, is_new);
      int64_t slice = 0;
      std::vector<Id>* of_slice = nullptr;
      for (size_t i = 0; i < kBatchRows; ++i) {
        if (!is_new[i]) continue;
        if (of_slice == nullptr || stream.slice(i) != slice) {
          slice = stream.slice(i);
          of_slice = ids_of(slice);
        }
        of_slice->push_back(ids[i]);
      }
      probe += bare::ThreadCpuNs() - start;
    }
    for (auto& [slice, of_slice] : new_ids) {
      int64_t start = bare::ThreadCpuNs();
      bare::SortIds(of_slice);
      sort += bare::ThreadCpuNs() - start;
      start = bare::ThreadCpuNs();
      bare::WriteSortedFile(fmt::format("{}/{}-{}.sst", folder, slice, round), of_slice,
                            bare::IdOptions());
      write += bare::ThreadCpuNs() - start;
      of_slice.clear();
      spare.push_back(std::move(of_slice));
    }
    new_ids.clear();
    probe_ns.push_back(static_cast<double>(probe) / kIdsPerRound);
    sort_ns.push_back(static_cast<double>(sort) / kIdsPerRound);
    write_ns.push_back(static_cast<double>(write) / kIdsPerRound);
  }
  bench::Report report;
  report.Add("hash and probe", bench::Median(probe_ns));
  report.Add("sort", bench::Median(sort_ns));
  report.Add("write sorted files", bench::Median(write_ns));
  report.Print();
}

// Ingests the stream's first ids as files that do not overlap, each by a pass over the stream.
void Load(rocksdb::DB& db, const rocksdb::Options& options, const std::string& folder,
          uint64_t live_ids) {
  constexpr int kFileBits = 3;
  std::vector<std::string> files;
  std::vector<Id> part;
  for (uint64_t file = 0; file < uint64_t{1} << kFileBits; ++file) {
    part.clear();
    for (bench::IdStream stream(live_ids); stream.next() < live_ids;) {
      stream.NextBatch();
      Hash(stream);
      for (const Id& id : ids) {
        if (id.high >> (64 - kFileBits) == file) part.push_back(id);
      }
    }
    bare::SortIds(part);
    files.push_back(fmt::format("{}/load-{}.sst", folder, file));
    bare::WriteSortedFile(files.back(), part, options);
  }
  rocksdb::IngestExternalFileOptions ingest;
  ingest.move_files = true;
  bare::Require(db.IngestExternalFile(files, ingest));
}

void RunRocksDb(const std::string& folder, uint64_t live_ids) {
  constexpr uint64_t kNewIds = 4 << 20;
  rocksdb::Options options = bare::IdOptions();
  options.create_if_missing = true;
  options.IncreaseParallelism(2);
  rocksdb::BlockBasedTableOptions table =
      *options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
  table.block_cache = rocksdb::NewLRUCache(512 << 20);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* opened = nullptr;
  bare::Require(rocksdb::DB::Open(options, folder + "/db", &opened));
  std::unique_ptr<rocksdb::DB> db(opened);
  Load(*db, options, folder, live_ids);

  bench::IdStream stream(live_ids);
  while (stream.next() < live_ids) stream.NextBatch();
  const uint64_t first = stream.next();
  std::vector<rocksdb::Slice> slices(kBatchRows);
  std::vector<rocksdb::PinnableSlice> values(kBatchRows);
  std::vector<rocksdb::Status> statuses(kBatchRows);
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  bench::CpuTime cpu;
  while (stream.next() < first + kNewIds) {
    cpu.Exclude([&] { stream.NextBatch(); });
    Hash(stream);
    std::vector<bare::Key> keys(ids.begin(), ids.end());
    for (size_t i = 0; i < kBatchRows; ++i) slices[i] = keys[i].slice();
    for (rocksdb::PinnableSlice& value : values) value.Reset();
    db->MultiGet(rocksdb::ReadOptions(), db->DefaultColumnFamily(), kBatchRows, slices.data(),
                 values.data(), statuses.data());
    rocksdb::WriteBatch batch;
    for (size_t i = 0; i < kBatchRows; ++i) {
      if (statuses[i].IsNotFound()) {
        bare::Require(batch.Put(slices[i], {}));
      } else {
        bare::Require(statuses[i]);
      }
    }
    bare::Require(db->Write(write, &batch));
  }
  bare::Require(db->Flush(rocksdb::FlushOptions()));
  bench::Report report;
  report.Add("ns_per_new_id",
             static_cast<double>(cpu.ns()) / static_cast<double>(stream.next() - first));
  report.Print();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (argc < 3 || argc > 4 || (what != "loop" && what != "rocksdb")) {
    bare::Fail("usage: dedup_limit (loop | rocksdb) FOLDER [IDS]");
  }
  const std::string folder = argv[2];
  const uint64_t ids = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 50'000'000;
  what == "loop" ? RunLoop(folder, ids) : RunRocksDb(folder, ids);
  return 0;
}
