// CheckpointStore: the checkpoints of one job in an object store.
//
//   <job>/chk-<n>/manifest.pb   exists exactly when checkpoint n is complete
//   <job>/files/<content>       files, named by their content, shared by all checkpoints of the job
//   <job>/sav-<n>/              a savepoint: manifest.pb, and its files in files/
//   <job>/leases/chk-<n>.<holder>   keeps checkpoint n from being collected until it expires
//
// The manifests of a job are written by one process at a time, the coordinator's; executors in
// others write the files, with stores of their own, and take notice of what was completed (Adopt).
// No one uploads while CollectGarbage() runs elsewhere. In a process, in order: NewestVerified()
// and MakeReader() to restore; then for each checkpoint MakeWriter(), WriteManifest() once all
// state is written, CollectGarbage(). A checkpoint that fails is left alone: what it uploaded is
// kept until a later one is complete, since the next one may list it, and collected then. Numbers
// rise and are never used twice.
//
// Thread-safe; all calls but List() may take long and belong on the I/O pool.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/environment.h"
#include "core/limits.h"
#include "state/manifest.h"
#include "state/object_store.h"

namespace weir {

struct CheckpointStoreOptions {
  std::string job_id;
  int retained = limits::kCheckpointsKept;  // newest checkpoints that CollectGarbage() keeps
  bool follows = false;  // another process writes the manifests and collects: only Adopt() is used
};

class CheckpointStore {
 public:
  // Both must outlive the store, and the store what it makes.
  CheckpointStore(ObjectStore& objects, Environment& env, CheckpointStoreOptions options);

  // For the operators' Frozen::Write(). Uploads what the last completed checkpoint (or the verified
  // one that the job restored from) does not list already.
  std::unique_ptr<SnapshotWriter> MakeWriter(CheckpointId checkpoint);

  // The commit point. OK: the checkpoint is complete; its handles are to be committed. kUnknown:
  // the store cannot be asked whether it is complete: neither commit nor abort it, nor restart, but
  // call again. Any other error: it is not complete. Calling again with the same manifest is
  // allowed.
  Status WriteManifest(const Manifest& manifest);

  // Takes notice of a checkpoint that was completed through another CheckpointStore, in another
  // process: from then on what it lists is not uploaded again.
  void Adopt(const Manifest& manifest);
  // The same; reads the manifest unless it is the last one known. NotFound if it is not complete.
  Status Adopt(CheckpointId checkpoint);

  // Numbers of all complete checkpoints, rising.
  StatusOr<std::vector<CheckpointId>> List();
  // DataLoss for a manifest that is torn, changed or another checkpoint's; NotFound if there is
  // none.
  StatusOr<Manifest> LoadManifest(CheckpointId checkpoint);
  // Reads the manifest and every file it lists; DataLoss names the file that is missing or changed.
  Status Verify(CheckpointId checkpoint);

  struct Skipped {
    CheckpointId checkpoint = 0;
    Status why;
  };
  struct Newest {
    std::optional<Manifest> manifest;  // none: no checkpoint verifies
    std::vector<Skipped> skipped;      // newer ones that do not, newest first
  };
  // The newest checkpoint that verifies, of those that `wanted` does not refuse (null: of all). It
  // is never collected before a newer one is completed here. An error is a store that cannot be
  // read.
  using Wanted = std::function<bool(CheckpointId)>;
  StatusOr<Newest> NewestVerified(const Wanted& wanted = nullptr);

  // Makes a savepoint of a complete checkpoint: sav-<n>, which has its files with it and is never
  // collected. Its folder. Calling again is allowed.
  StatusOr<std::string> KeepAsSavepoint(CheckpointId checkpoint);
  // As LoadManifest(), of a savepoint.
  StatusOr<Manifest> LoadSavepoint(CheckpointId checkpoint);
  // Makes a checkpoint of a savepoint again, where it has been collected since.
  Status TakeUpSavepoint(CheckpointId checkpoint);

  // Makes the first checkpoint of this job, which has none, of another job's: a manifest of this
  // job's stages, whose files are in the local folder `files` by their content. They are linked
  // where they can be, or else copied. The checkpoint as it now is.
  StatusOr<Manifest> TakeOver(Manifest manifest, const std::string& files);

  // Reads the files of a checkpoint of this job.
  std::unique_ptr<SnapshotReader> MakeReader();

  // Keeps a checkpoint from being collected for so long (0: no longer), and no longer, so that a
  // holder that dies keeps nothing for ever. Who wants to keep it leases it again in time; each
  // holder, a plain name, has a lease of its own. NotFound if the checkpoint is not complete.
  Status Lease(CheckpointId checkpoint, std::string_view holder, Duration length);

  struct Collected {
    std::vector<CheckpointId> checkpoints;
    uint64_t files = 0;
    uint64_t bytes = 0;
    Status
        files_kept;  // why no file was collected, if so: a manifest that cannot be read may list it
  };
  // Removes the manifests of checkpoints beyond the newest `retained`, then the files that no
  // manifest lists. Kept: leased checkpoints, the last completed one, and what was uploaded after
  // it. Checkpoints that `wanted` refuses (null: none) do not count among the newest and go too.
  // What attempts of the job up to `attempts_over` left unfinished goes at once, what others did
  // after a day.
  StatusOr<Collected> CollectGarbage(const Wanted& wanted = nullptr, uint32_t attempts_over = 0);

  // The folder of a checkpoint, and of a savepoint, whether there is one or not.
  std::string Location(CheckpointId checkpoint) const;
  std::string SavepointLocation(CheckpointId checkpoint) const;
  const std::string& job_id() const { return options_.job_id; }

 private:
  class Writer;
  struct Upload {
    CheckpointId checkpoint = 0;  // the newest that wrote it
    bool done = false;
  };
  struct HashedFile {
    uint64_t size = 0;
    Timestamp modified = 0;
    std::string content;
  };

  std::string ManifestName(CheckpointId checkpoint) const;
  std::string SavepointFolder(CheckpointId checkpoint) const;
  std::string FileName(const std::string& content) const { return files_prefix_ + content; }
  StatusOr<std::string> HashOf(const std::string& local_path);
  template <class Put>
  Status UploadOnce(CheckpointId checkpoint, const std::string& content, Put put);
  Status CheckFilesAreThere(const Manifest& manifest);
  void Completed(const Manifest& manifest);
  StatusOr<Manifest> LoadAndVerify(CheckpointId checkpoint);
  StatusOr<std::set<CheckpointId>> CollectLeases();
  Status CollectManifests(const Wanted& wanted, Collected& collected);
  Status CollectFiles(Collected& collected);

  ObjectStore& objects_;
  Environment& env_;
  const CheckpointStoreOptions options_;
  const std::string files_prefix_;

  std::mutex collect_mutex_;  // held by who collects or leases; taken before mutex_

  std::mutex mutex_;  // guards what follows
  std::condition_variable deleted_;
  std::optional<CheckpointId> last_good_;  // completed here, or verified
  std::set<std::string> last_good_contents_;
  std::map<std::string, Upload> uploads_;     // by content, by checkpoints after last_good_
  std::set<std::string> being_deleted_;       // contents
  std::set<CheckpointId> unsettled_;          // WriteManifest() said kUnknown
  std::map<std::string, HashedFile> hashed_;  // by local path
  // Of all manifests that were read or written and not removed; what they list is not collected.
  std::map<CheckpointId, std::set<std::string>> contents_;
};

// A checkpoint in a folder that a user named ("<checkpoints>/<job>/chk-7"), of whatever job.
struct NamedCheckpoint {
  std::string location;
  Manifest manifest;
  std::unique_ptr<ObjectStore> objects;
  std::unique_ptr<SnapshotReader> reader;  // uses `objects`
};
// Reads and verifies everything. NotFound: there is no complete checkpoint; DataLoss names the file
// that is missing or changed.
StatusOr<NamedCheckpoint> OpenCheckpointFolder(Environment& env, std::string folder);

}  // namespace weir
