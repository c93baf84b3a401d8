// ObjectStore: where checkpoints live. Objects are whole byte strings under names like
// "flights-1f0c/chk-7/manifest.pb": parts of letters, digits and "._-" (not "." or ".."), joined by
// '/'. They are written once, whole, and never changed in place.
//
// All stores are thread-safe, and several processes may use one. Errors name the object.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "core/status.h"

namespace weir {

struct ObjectInfo {
  std::string name;
  uint64_t bytes = 0;
};

// Who writes: an attempt of a job, where it has a process of its own.
struct ObjectWriter {
  std::string job_id;
  uint32_t attempt = 0;  // 0: none
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // When it returns OK the object is there, whole and durable; readers see the old object or the
  // new one, never a mixture. After an error either may be the case: read to find out.
  virtual Status Put(const std::string& name, std::string_view bytes) = 0;
  // The same for the content of a local file that nobody changes any more: the object may be a hard
  // link to it.
  virtual Status PutFile(const std::string& name, const std::string& local_path) = 0;

  // The same for the content of another object, which may be deleted later.
  virtual Status Copy(const std::string& from, const std::string& to) = 0;

  // NotFound if there is no such object.
  virtual StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& name) = 0;
  virtual StatusOr<std::string> Get(const std::string& name) = 0;
  // Makes the object appear at local_path, which does not exist yet, as a hard link where that is
  // possible. Not verified, not synced.
  virtual Status Fetch(const std::string& name, const std::string& local_path) = 0;
  virtual StatusOr<bool> Exists(const std::string& name) = 0;
  // All objects whose names start with `prefix`, sorted by name.
  virtual StatusOr<std::vector<ObjectInfo>> List(const std::string& prefix) = 0;

  // Removes objects, in this order; those that are not there are no error. Durable when it returns
  // OK; after an error, or a crash, any of them may be gone or back again.
  virtual Status Delete(std::span<const std::string> names) = 0;
  // Removes all objects whose names start with `prefix`, which ends with '/'.
  virtual Status DeletePrefix(const std::string& prefix) = 0;
  // Removes what writers that died left unfinished before `written_before`; and whenever it was
  // written what attempts of `over.job_id` up to `over.attempt` left, which are over: one of them
  // that does not know it finds that it cannot finish.
  virtual Status RemoveLeftovers(Timestamp written_before, const ObjectWriter& over) = 0;
  // For messages: where the object is, as a user would look it up.
  virtual std::string Location(const std::string& name) const = 0;
};

// Objects are files below a directory. Unfinished ones lie in its folder ".tmp/".
class LocalObjectStore final : public ObjectStore {
 public:
  // The directory is made when the first object is put. `env` must outlive the store. `writer`
  // says whose unfinished objects are removed before they are old: with the attempt it is of.
  LocalObjectStore(Environment& env, std::string directory, const ObjectWriter& writer = {});

  Status Put(const std::string& name, std::string_view bytes) override;
  Status PutFile(const std::string& name, const std::string& local_path) override;
  Status Copy(const std::string& from, const std::string& to) override;
  StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& name) override;
  StatusOr<std::string> Get(const std::string& name) override;
  Status Fetch(const std::string& name, const std::string& local_path) override;
  StatusOr<bool> Exists(const std::string& name) override;
  StatusOr<std::vector<ObjectInfo>> List(const std::string& prefix) override;
  Status Delete(std::span<const std::string> names) override;
  Status DeletePrefix(const std::string& prefix) override;
  Status RemoveLeftovers(Timestamp written_before, const ObjectWriter& over) override;
  std::string Location(const std::string& name) const override;

 private:
  Status MakeDurableDirectory(const std::string& directory);
  // Has `make` make a temporary file, durable, and gives it the object's name.
  template <class Make>
  Status Write(const std::string& name, Make make);
  Status ListBelow(const std::string& directory, std::string_view prefix,
                   std::vector<ObjectInfo>& found);

  Disk& disk_;
  const std::string directory_;
  const std::string temporary_prefix_;  // this instance's alone, whoever else writes there
  std::atomic<uint64_t> temporaries_{0};
  std::mutex mutex_;
  std::set<std::string> durable_directories_;  // guarded by mutex_; made and synced before
};

}  // namespace weir
