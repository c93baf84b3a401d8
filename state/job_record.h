// JobRecord: what a data folder remembers of a job between invocations, in
// <data>/jobs/<job id>/job.pb.
//
// A plain value; its owner holds the lock of the data folder. Save() replaces the record atomically
// and durably.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "core/time.h"
#include "state/snapshot.h"

namespace weir {

enum class RunState : uint8_t {
  kRunning = 1,  // or killed, if nobody holds the data folder
  kSuspended = 2,
  kFailed = 3,
  kCanceled = 4,
  kFinished = 5,
};
std::string_view ToString(RunState state);  // "RUNNING", ...

// Two runs with the same identity are the same run: one goes on where the other stopped.
struct JobIdentity {
  std::string job_name;
  std::string library_sha256;                     // in hex
  std::map<std::string, std::string> resources;   // name -> SHA-256, in hex
  std::map<std::string, std::string> parameters;  // as they were given
  bool operator==(const JobIdentity&) const = default;
};
// What differs, one line each: "parameter window: was 24h, is 1h".
std::vector<std::string> Differences(const JobIdentity& was, const JobIdentity& is);

struct JobRecord {
  static constexpr uint32_t kVersion = 1;

  std::string job_id;
  JobIdentity identity;
  RunState state = RunState::kRunning;
  uint32_t attempt = 0;
  CheckpointId last_checkpoint = 0;  // the highest number ever used; none is used twice
  // The highest number that may have committed anything: durable before the first commit. 0: none.
  CheckpointId last_completed = 0;
  std::string result;   // of a finished run: its totals, as its writer encodes them
  std::string failure;  // of a failed run: why
  Timestamp created = 0;
  Timestamp updated = 0;

  // Checkpoints (after, until] that the job has gone back behind. What they committed is revoked,
  // so going on from one of them would lose it.
  struct Superseded {
    CheckpointId after = 0;
    CheckpointId until = 0;
    bool operator==(const Superseded&) const = default;
  };
  std::vector<Superseded> superseded;
  // Where each sink commits to, by stage: only there can it take anything back.
  std::map<std::string, std::string> sinks;

  // Attempts that ended in a crash of the process, without a completed checkpoint between them.
  uint32_t crashes = 0;
  uint32_t crashed_attempt = 0;  // the last that was counted
  std::string crash;             // what it left, for people

  // Of the attempt at hand; false: it was counted before.
  bool CountCrash(std::string left);
  // Starting again by itself helps against a passing cause; a crash that comes again needs
  // somebody.
  bool CrashedTooOften() const;

  // The run goes on from `checkpoint` (0: from the start) though there are later ones. Save it
  // before anything is revoked: only then does a crash in between find the same way again.
  void GoBackTo(CheckpointId checkpoint);
  bool IsSuperseded(CheckpointId checkpoint) const;
  // Whether a run that goes on from `checkpoint` has to revoke what was committed after it: it may
  // have died on its way back. Revoking twice does no harm.
  bool MustRevokeAfter(CheckpointId checkpoint) const;

  // True if there is something to go on with.
  bool unfinished() const { return state != RunState::kFinished; }

  std::string Serialize() const;
  static StatusOr<JobRecord> Parse(std::string_view bytes, std::string_view where);
};

// The records of one data folder.
class JobRecords {
 public:
  // `disk` must outlive it.
  JobRecords(Disk& disk, std::string data_folder);

  Status Save(const JobRecord& record);
  StatusOr<JobRecord> Load(const std::string& job_id);  // NotFound if there is none
  // By time of creation. DataLoss names a record that is torn or changed.
  StatusOr<std::vector<JobRecord>> LoadAll();
  // The folder of one job: <data>/jobs/<job id>.
  std::string FolderOf(const std::string& job_id) const;

 private:
  Disk& disk_;
  const std::string data_folder_;
};

// "flights-3f0c9a5b7e21": the name, as far as it can stand in a file's name, and 48 random bits.
std::string NewJobId(std::string_view job_name, Random& random);

// The SHA-256 of a file, in hex.
StatusOr<std::string> Sha256OfFile(Disk& disk, const std::string& path);

}  // namespace weir
