// A job that is nothing but file sinks, as a runtime would run it: attempts at changing
// parallelism, checkpoints, kills at any action on the disk, going back. Lines are numbered, so
// that it can be told whether each came out exactly once.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"
#include "tests/operators/file_sink_harness.h"
#include "tests/support/faulty_disk.h"

namespace weir::testing {

inline constexpr int kIntervals = 4;
inline constexpr int kLinesPerInterval = 30;

// What a checkpoint store would hold.
struct Manifest {
  CheckpointId checkpoint = 0;
  int interval = 0;  // the first one that is not in it
  std::vector<std::string> handles;
  std::vector<std::string> open_handles;
};

inline std::vector<RoutedLine> LinesOf(int interval) {
  std::vector<RoutedLine> lines;
  if (interval == 2) return lines;  // a checkpoint with nothing new
  for (int i = 0; i < kLinesPerInterval; ++i) {
    lines.emplace_back(i % 3 == 0 ? "a" : "b", std::to_string(interval * 1000 + i));
  }
  return lines;
}

inline std::vector<std::string> Everything() {
  std::vector<std::string> all;
  for (int interval = 0; interval < kIntervals; ++interval) {
    for (const auto& [route, payload] : LinesOf(interval)) all.push_back(route + " " + payload);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// What is committed, as Everything() has it, whatever folders of times it is in.
inline std::vector<std::string> AllCommitted(const std::string& folder) {
  std::vector<std::string> all;
  for (const auto& [path, lines] : Committed(folder)) {
    for (const std::string& line : lines)
      all.push_back(path.substr(0, path.find('/')) + " " + line);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// The parts that the output manifest lists and the rows it tells of them, read as docs/file-sink.md
// says.
inline std::map<std::string, uint64_t> Listed(const std::string& folder) {
  std::vector<std::string> files;  // sorted: so are the numbers in their names
  size_t base = 0;
  for (const std::string& file : FilesBelow(folder)) {
    if (!file.starts_with(".manifest/") || !file.ends_with(".jsonl")) continue;
    files.push_back(file);
  }
  // "...0007.base.jsonl" sorts in front of "...0007.jsonl", which is merged into it.
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].ends_with(".base.jsonl")) base = i;
  }
  std::map<std::string, uint64_t> parts;
  JsonParser parser;
  for (size_t i = base; i < files.size(); ++i) {
    const std::string& merged = files[base];
    if (i > base && merged.ends_with(".base.jsonl") &&
        files[i] == merged.substr(0, merged.size() - 11) + ".jsonl") {
      continue;
    }
    for (const std::string& line : Lines(*ReadFile(TestDisk(), folder + "/" + files[i]))) {
      const auto value = parser.ParseUnpadded(line);
      WEIR_CHECK(value.ok());
      if (auto part = value->Find("part")) {
        const auto rows = value->Find("rows");
        const bool added = parts.emplace(*part->GetString(), rows ? *rows->GetUint() : 0).second;
        WEIR_CHECK(added);
      } else if (auto revoked = value->Find("revoked")) {
        parts.erase(std::string(*revoked->GetString()));
      } else {
        WEIR_CHECK(value->Find("manifest").has_value());
      }
    }
  }
  return parts;
}

inline std::set<std::string> CommittedFiles(const std::string& folder) {
  std::set<std::string> files;
  for (const std::string& file : FilesBelow(folder)) {
    const std::string name = std::filesystem::path(file).filename().string();
    if (!name.starts_with("part-") || file.find("/.") != std::string::npos) continue;
    files.insert(file);
  }
  return files;
}

inline bool HasPending(const std::string& folder) {
  for (const std::string& file : FilesBelow(folder)) {
    if (file.find(".pending/") != std::string::npos) return true;
  }
  return false;
}

class Job {
 public:
  explicit Job(std::string out) : disk_(TestDisk()) {
    options_.directory = std::move(out);
    options_.block_bytes = 64;  // many small steps
    options_.open_parts_max = 1;
  }

  // One attempt of the job, as a runtime would run it.
  Status RunAttempt(int parallelism = 1) {
    ++attempt_;
    std::vector<std::unique_ptr<SinkInstance>> sinks;
    for (int s = 0; s < parallelism; ++s) {
      sinks.push_back(std::make_unique<SinkInstance>(options_, env_,
                                                     SinkPlace{.attempt = attempt_, .subtask = s}));
    }
    SinkInstance& first = *sinks.front();
    size_t turn = 0;
    for (const std::string& handle : manifest_.handles) {
      WEIR_RETURN_IF_ERROR((*sinks[turn++ % sinks.size()])->CommitAll({&handle, 1}));
    }
    Sink::Recovery recovery{.job_id = "job-1",
                            .restored = manifest_.checkpoint,
                            .handles = manifest_.handles,
                            .open_handles = manifest_.open_handles};
    WEIR_RETURN_IF_ERROR(first->CheckRecovery(recovery));
    recovery.revoke = revoke_;
    WEIR_RETURN_IF_ERROR(first->Recover(recovery));
    while (manifest_.interval < kIntervals) {
      const std::vector<RoutedLine> lines = LinesOf(manifest_.interval);
      Manifest next{.checkpoint = ++last_checkpoint_, .interval = manifest_.interval + 1};
      for (size_t s = 0; s < sinks.size(); ++s) {
        std::vector<RoutedLine> own;
        for (size_t i = s; i < lines.size(); i += sinks.size()) own.push_back(lines[i]);
        WEIR_RETURN_IF_ERROR(sinks[s]->Write(own, Hours(manifest_.interval / 2)));
        if (next.interval == kIntervals) (*sinks[s])->EndPieces();
        WEIR_ASSIGN_OR_RETURN(StateSnapshot snapshot, sinks[s]->Snapshot(next.checkpoint));
        auto add = [](std::vector<std::string>& to, const std::vector<std::string>& from) {
          to.insert(to.end(), from.begin(), from.end());
        };
        add(next.handles, snapshot.handles);
        add(next.open_handles, snapshot.open_handles);
      }
      manifest_ = next;
      history_.push_back(next);
      WEIR_RETURN_IF_ERROR(first->CommitAll(next.handles));
      WEIR_RETURN_IF_ERROR(first->Committed(next.checkpoint, next.handles));
    }
    return absl::OkStatus();
  }

  // The process dies at the n-th action on the disk from now on; an append may leave a half.
  void DieAt(int n) {
    pool_.WaitUntilIdle();
    auto count = std::make_shared<std::atomic<int>>(0);
    disk_.SetFault([=](std::string_view action, const std::string& path) -> Status {
      if ((*count)++ < n) return absl::OkStatus();
      return absl::UnavailableError("dead");
    });
  }
  // The threads of a process that is dead write nothing any more: what they began fails first.
  void Live() {
    pool_.WaitUntilIdle();
    disk_.SetFault(nullptr);
  }
  void GoBackTo(const Manifest& manifest) {
    manifest_ = manifest;
    revoke_ = true;
  }

  FaultyDisk& disk() { return disk_; }
  const Manifest& manifest() const { return manifest_; }
  const std::vector<Manifest>& history() const { return history_; }
  FileSinkOptions& options() { return options_; }

 private:
  FaultyDisk disk_;
  TestPool pool_;  // gone before the disk is
  Environment env_{RealEnvironment().clock, disk_, pool_, RealEnvironment().random};
  FileSinkOptions options_;
  uint32_t attempt_ = 0;
  CheckpointId last_checkpoint_ = 0;
  Manifest manifest_;
  std::vector<Manifest> history_;
  bool revoke_ = false;
};

}  // namespace weir::testing
