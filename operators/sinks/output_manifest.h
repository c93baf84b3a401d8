// OutputManifest: a list of the files that a file sink has committed, for readers that want exactly
// those, and all of a checkpoint's or none. docs/file-sink.md has the format and how to read it.
//
//   <directory>/.manifest/<job>.<stage>.<number>.jsonl       changes, in the order of the numbers
//   <directory>/.manifest/<job>.<stage>.<number>.base.jsonl  all that stands up to that number
//
// Each file appears whole, by a rename, and never changes. When there are
// limits::kOutputManifestFilesMax files of changes, all are merged into a new base and removed, so
// the folder stays small and each part is written a bounded number of times per such round.
//
// Internal to operators/sinks. Used by one subtask of one attempt at a time; any thread. Every call
// may be interrupted and repeated by another attempt. An attempt that is over may not know it, and
// call all the same: a number is then still somebody's alone, and who meets another's reads it
// first.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/part_name.h"

namespace weir {

class OutputManifest {
 public:
  // attempt: in the names of its temporary files, which are its own.
  OutputManifest(Disk& disk, std::string directory, std::string job_id, std::string stage,
                 uint32_t attempt);

  // Before all other calls: finds the files there are, and finishes a merge that was interrupted.
  Status Open();
  bool exists() const { return !files_.empty(); }

  // The parts are committed, by a checkpoint or by its restore. Those that the manifest lists
  // already are left out. REQUIRES: `checkpoint` is the newest one that the job stands by.
  Status Add(uint64_t checkpoint, std::vector<Part> parts);
  // The parts are about to be revoked, because the job goes back to `checkpoint`.
  Status Revoke(uint64_t checkpoint, const std::vector<Part>& parts);
  // It is not kept any more.
  Status Remove();

 private:
  struct File {
    uint64_t number = 0;
    bool base = false;
    auto operator<=>(const File&) const = default;  // a base is behind the changes of its number
  };

  std::string PathOf(File file) const;
  bool IsTemporary(std::string_view name) const;
  std::string TemporaryOf(const std::string& path) const;
  // Runs it, and again if another attempt was in its way.
  template <class Change>
  Status Try(Change change);
  std::string Header(uint64_t checkpoint) const;
  Status AddOnce(uint64_t checkpoint, std::vector<Part> parts);
  // Aborted if the number is taken.
  Status Write(std::string_view text);
  Status Merge();
  Status RemoveBefore(File base);

  Disk& disk_;
  const std::string folder_;
  const std::string directory_;
  const std::string job_id_;
  const std::string stage_;
  const uint32_t attempt_;
  std::vector<File> files_;  // sorted
};

}  // namespace weir
