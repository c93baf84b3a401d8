#include "tests/simulation/sim_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "core/check.h"
#include "jobs/job.h"
#include "operators/transforms/process.h"

namespace weir::simulation {
namespace {

class NumberedSource final : public Source {
 public:
  explicit NumberedSource(std::shared_ptr<const Input> input) : input_(std::move(input)) {}

  StatusOr<StateDescription> DescribeState() override {
    return DescribeKeyedState([](KeyedStore& store) {
      return ValueState<int64_t>::Register(store, "positions").status();
    });
  }
  Status Open(OperatorContext& context) override {
    env_ = context.env;
    WEIR_ASSIGN_OR_RETURN(positions_, ValueState<int64_t>::Register(*context.keyed, "positions"));
    for (size_t i = 0; i < input_->splits.size(); ++i) {
      std::string name = fmt::format("split-{}", i);
      if (!context.key_groups.Contains(KeyGroupOf(MakeStateKey(name).hash))) continue;
      WEIR_ASSIGN_OR_RETURN(auto position, positions_.Get(MakeStateKey(name)));
      splits_.push_back({std::move(name), i, static_cast<size_t>(position.value_or(0))});
    }
    return absl::OkStatus();
  }
  StatusOr<PollResult> Poll(Output& out) override {
    std::vector<Split*> open;
    for (Split& split : splits_) {
      if (split.position < input_->splits[split.index].size()) open.push_back(&split);
    }
    if (open.empty()) return PollResult{PollResult::kFinished};
    Split& split = *open[env_->random.Next() % open.size()];
    const std::vector<Row>& rows = input_->splits[split.index];
    auto batch = std::make_unique<Batch<Row>>();
    const size_t n = 1 + env_->random.Next() % input_->rows_per_poll;
    for (size_t i = 0; i < n && split.position < rows.size(); ++i) {
      batch->Add(rows[split.position], static_cast<Timestamp>(split.position));
      ++split.position;
    }
    WEIR_RETURN_IF_ERROR(
        positions_.Set(MakeStateKey(split.name), static_cast<int64_t>(split.position)));
    out.Emit(0, std::move(batch));
    if (env_->random.Next() % 4 == 0) return PollResult{PollResult::kMore};
    const auto micros = static_cast<int64_t>(env_->random.Next() % (2 * input_->poll_micros));
    return PollResult{PollResult::kIdle, env_->clock.MonotonicMicros() + micros};
  }
  Timestamp watermark() const override {
    size_t least = SIZE_MAX;
    for (const Split& split : splits_) least = std::min(least, split.position);
    return least == SIZE_MAX ? kMinTimestamp : static_cast<Timestamp>(least) - 1;
  }
  bool idle() const override { return splits_.empty(); }

 private:
  struct Split {
    std::string name;
    size_t index;
    size_t position;
  };
  const std::shared_ptr<const Input> input_;
  Environment* env_ = nullptr;
  ValueState<int64_t> positions_;
  std::vector<Split> splits_;
};

struct FirstOfId {
  ValueState<bool> seen;
  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(seen, ValueState<bool>::Register(store, "seen"));
    return absl::OkStatus();
  }
  Status Process(const Row& row, ProcessContext<Row>& context) {
    WEIR_ASSIGN_OR_RETURN(const auto before, seen.Get(context.key()));
    if (before) return absl::OkStatus();
    WEIR_RETURN_IF_ERROR(seen.Set(context.key(), true));
    context.Emit(row);
    return absl::OkStatus();
  }
};

struct CountOfKey {
  ValueState<int64_t> count;
  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count, ValueState<int64_t>::Register(store, "count"));
    return absl::OkStatus();
  }
  Status Process(const Row& row, ProcessContext<Counted>& context) {
    WEIR_ASSIGN_OR_RETURN(const auto before, count.Get(context.key()));
    WEIR_RETURN_IF_ERROR(count.Set(context.key(), before.value_or(0) + 1));
    context.Emit({row, before.value_or(0) + 1});
    return absl::OkStatus();
  }
};

class CountedLines final : public LineFormatter {
 public:
  void Format(const BatchBase& batch, LineWriter& lines) override {
    const auto rows = Batch<Counted>::Of(batch).values();
    for (size_t i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i].row;
      lines.Write(
          "", fmt::format("{} {} {} {} {}", row.id, row.key, row.split, row.place, rows[i].count),
          batch.times()[i]);
    }
  }
};

// Commits each piece as soon as it is durable, whatever becomes of its checkpoint.
class EagerSink final : public Sink {
 public:
  explicit EagerSink(std::unique_ptr<Sink> below) : below_(std::move(below)) {}
  Status Open(OperatorContext& context) override { return below_->Open(context); }
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override {
    return below_->Write(std::move(batch), out);
  }
  StatusOr<Progress> Resume(Output& out) override { return below_->Resume(out); }
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override {
    return below_->Drain(reason, out);
  }
  void EndPieces() override { below_->EndPieces(); }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    auto frozen = below_->Freeze(checkpoint);
    if (frozen == nullptr) return nullptr;
    return std::make_unique<EagerFrozen>(*below_, std::move(frozen));
  }
  Status Commit(std::string_view handle) override { return below_->Commit(handle); }
  Status CheckRecovery(const Recovery& recovery) override {
    return below_->CheckRecovery(recovery);
  }
  Status Recover(const Recovery& recovery) override { return below_->Recover(recovery); }
  Status Committed(CheckpointId checkpoint, std::span<const std::string> handles) override {
    return below_->Committed(checkpoint, handles);
  }
  void Close() override { below_->Close(); }

 private:
  class EagerFrozen final : public Frozen {
   public:
    EagerFrozen(Sink& sink, std::unique_ptr<Frozen> below)
        : sink_(sink), below_(std::move(below)) {}
    StatusOr<StateSnapshot> Write(SnapshotWriter& writer) override {
      WEIR_ASSIGN_OR_RETURN(StateSnapshot snapshot, below_->Write(writer));
      WEIR_RETURN_IF_ERROR(sink_.CommitAll(snapshot.handles));
      return snapshot;
    }

   private:
    Sink& sink_;
    std::unique_ptr<Frozen> below_;
  };
  const std::unique_ptr<Sink> below_;
};

SinkSpec<Counted> Files(const JobOptions& options) {
  return {.kind = "files",
          .options = ToText(options.sink),
          .exactly_once = true,
          .can_revoke = true,
          .make = [options]() -> std::unique_ptr<Sink> {
            auto sink = std::make_unique<FileSink>(options.sink, std::make_unique<CountedLines>());
            if (!options.commit_early) return sink;
            return std::make_unique<EagerSink>(std::move(sink));
          },
          .writes = options.sink.directory};
}

// What a reader of the sink's list finds in it (docs/file-sink.md): the newest base, and the
// changes behind it.
std::set<std::string> Listed(const SimDisk& disk, const std::string& folder) {
  std::map<std::string, std::string> files;  // by number, the base behind the changes of its number
  disk.ForEachFile(folder + "/.manifest", [&](const std::string& path, const SimDisk::Inode& file) {
    if (!path.ends_with(".jsonl")) return;
    const size_t number = path.rfind(".0000");
    files[path.substr(number + 1, 10) + (path.ends_with(".base.jsonl") ? "b" : "a")] = file.data;
  });
  std::set<std::string> listed;
  for (const auto& [name, text] : files) {
    if (name.ends_with('b')) listed.clear();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string line = text.substr(at, end - at);
      at = end + 1;
      for (const std::string key : {R"({"part":")", R"({"revoked":")"}) {
        if (!line.starts_with(key)) continue;
        const std::string path = line.substr(key.size(), line.find('"', key.size()) - key.size());
        if (key.find("part") != std::string::npos) {
          listed.insert(path);
        } else {
          listed.erase(path);
        }
      }
    }
  }
  return listed;
}

}  // namespace

std::shared_ptr<Input> Input::Make(SeededRandom& random) {
  auto input = std::make_shared<Input>();
  input->way = static_cast<Way>(random.Below(3));
  input->rows_per_poll = 1 + random.Below(8);
  input->splits.resize(3 + random.Below(8));
  const int64_t keys = random.Between(2, 20);
  const int64_t per_split = random.Between(15, 50);
  int64_t id = 0;
  for (size_t s = 0; s < input->splits.size(); ++s) {
    std::vector<Row>& rows = input->splits[s];
    for (int64_t i = 0; i < per_split; ++i) {
      // Half of the keys are of one split alone.
      const bool own = random.OneIn(2);
      const int64_t key =
          own ? 1000 * static_cast<int64_t>(s + 1) + random.Between(0, 2) : random.Between(0, keys);
      rows.push_back({id++, key, static_cast<int64_t>(s), i});
      if (input->way == Way::kDedup && random.OneIn(3))
        rows.push_back(rows[random.Below(rows.size())]);
    }
  }
  return input;
}

BuiltJob MakeJob(std::shared_ptr<const Input> input, const JobOptions& options) {
  JobBuilder builder("simulated");
  const SourceSpec<Row> source{.make = [input] { return std::make_unique<NumberedSource>(input); }};
  const auto key = [](const Row& row) { return row.key; };
  const RebatchOptions rebatch{.rows = 8, .delay = Milliseconds(30)};
  Stream<Row> rows = builder.From("rows", source);
  rows = input->way == Way::kKeyedRebatch ? rows.Rebatch("rebatch", rebatch, key)
                                          : rows.Rebatch("rebatch", rebatch);
  if (input->way == Way::kDedup) {
    rows = rows.KeyBy([](const Row& row) { return row.id; }).Process<Row>("first", FirstOfId());
  }
  rows.KeyBy(key).Process<Counted>("count", CountOfKey()).To("files", Files(options));
  StatusOr<BuiltJob> job = builder.Build();
  WEIR_CHECK(job.ok());
  return *std::move(job);
}

std::string FindFault(const Input& input, const SimDisk& disk, const std::string& folder,
                      const Expected& expected) {
  std::map<int64_t, Row> wanted;  // by id
  for (const auto& split : input.splits) {
    for (const Row& row : split) wanted.emplace(row.id, row);
  }
  std::map<int64_t, std::map<int64_t, Row>> counted;  // by key, by count
  std::set<int64_t> seen;
  std::vector<std::string> files;
  std::string fault;
  const auto found = [&fault](std::string what) {
    if (fault.empty()) fault = std::move(what);
  };
  disk.ForEachFile(folder, [&](const std::string& path, const SimDisk::Inode& file) {
    if (path.find("/.") != std::string::npos) return;  // pending, revoked, lists
    files.push_back(path.substr(folder.size() + 1));
    std::map<int64_t, int64_t> last_count;  // by key
    for (size_t at = 0; at < file.data.size();) {
      const size_t end = file.data.find('\n', at);
      long long id, key, split, place, count;
      const std::string line = file.data.substr(at, end - at);
      if (end == std::string::npos || std::sscanf(line.c_str(), "%lld %lld %lld %lld %lld", &id,
                                                  &key, &split, &place, &count) != 5) {
        return found(fmt::format("{} has a torn line at byte {}: '{}'", path, at, line));
      }
      at = end + 1;
      const auto row = wanted.find(id);
      if (row == wanted.end() || row->second.key != key || row->second.split != split ||
          row->second.place != place) {
        return found(fmt::format("{}: '{}' is no row of the input", path, line));
      }
      if (!seen.insert(id).second) found(fmt::format("row {} came twice, now in {}", id, path));
      if (!counted[key].emplace(count, row->second).second) {
        found(fmt::format("key {} was counted to {} twice, now in {}", key, count, path));
      }
      int64_t& last = last_count[key];
      if (count <= last) {
        found(fmt::format("{}: key {} comes to {} behind {}", path, key, count, last));
      }
      last = count;
    }
  });
  if (!fault.empty() || !expected.all) return fault;
  if (expected.list) {
    std::set<std::string> listed = Listed(disk, folder);
    for (const std::string& file : files) {
      if (listed.erase(file) == 0) return fmt::format("{} is committed and not listed", file);
    }
    if (!listed.empty()) return fmt::format("{} is listed and not there", *listed.begin());
  }
  if (seen.size() != wanted.size()) {
    for (const auto& [id, row] : wanted) {
      if (seen.contains(id)) continue;
      return fmt::format("{} of {} rows are lost, row {} of split {} among them",
                         wanted.size() - seen.size(), wanted.size(), id, row.split);
    }
  }
  const bool ordered =
      input.way == Way::kKeyedRebatch || (input.way == Way::kRebatch && !expected.rescaled);
  for (const auto& [key, rows] : counted) {
    int64_t next = 1;
    std::map<int64_t, int64_t> places;  // by split
    for (const auto& [count, row] : rows) {
      if (count != next++) return fmt::format("key {} was never counted to {}", key, next - 1);
      if (!ordered) continue;
      const auto [place, first] = places.emplace(row.split, row.place);
      if (!first && row.place < std::exchange(place->second, row.place)) {
        return fmt::format("key {}: row {} of split {} came out of order", key, row.id, row.split);
      }
    }
  }
  return "";
}

}  // namespace weir::simulation
