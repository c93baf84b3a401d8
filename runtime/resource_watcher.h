// ResourceWatcher: sees that the file of a reloadable resource has changed, and has the stages that
// go by it check the new content.
//
// It looks at size and modification time, and reads where these say that something may be new. A
// change is taken when two looks in a row have found the same, so that a file that is being written
// in place is not read half; a file that is renamed into place is whole at once, and waits no less.
// A file is taken by all stages that go by it, or by none.
//
// Owned by the job's coordinator. Look() blocks, so it is called on the I/O pool; one call at a
// time.
#pragma once

#include <string>
#include <vector>

#include "core/environment.h"
#include "jobs/built_job.h"

namespace weir {

class ResourceWatcher {
 public:
  // `job` must outlive it. What the builder has read counts as seen.
  ResourceWatcher(const BuiltJob& job, Environment& env);

  bool empty() const { return files_.empty(); }

  struct Change {
    std::vector<std::string> stages;  // that go by the file
    std::string bytes;                // what they take, if `status` is OK
    Status status;                    // else why not: it cannot be read, or a stage refuses it
  };
  // What has changed since the last look that told of it. at_once: the caller knows that the files
  // are complete; each is told of, changed or not.
  std::vector<Change> Look(bool at_once);

 private:
  // What was found at the file's place: its content, or why there is none.
  using Found = StatusOr<std::string>;
  struct File {
    std::string path;
    std::vector<int> stages;
    FileInfo info;  // of the last look that read it
    Found seen;     // by the last look
    Found settled;  // what was told of last
  };
  void LookAt(File& file) const;
  Status Check(const File& file, std::string_view bytes) const;

  const BuiltJob& job_;
  Environment& env_;
  std::vector<File> files_;
};

}  // namespace weir
