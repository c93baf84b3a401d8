// Files named by their content: "<XXH3-128 in hex>-<bytes>". Internal to state/.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "state/object_store.h"
#include "state/snapshot.h"

namespace weir {

std::string ContentName(std::string_view bytes);
// Reads to the end.
StatusOr<std::string> ContentNameOf(ReadableFile& file);

// Reads files that lie in a store below `prefix` (which ends with '/'), and verifies every byte
// against the name. DataLoss for a file that is missing or has changed; it names the file as its
// operator does, and where it lies. Thread-safe.
class ContentReader final : public SnapshotReader {
 public:
  // The store and the disk, for what is fetched, must outlive the reader.
  ContentReader(ObjectStore& objects, Disk& disk, std::string prefix)
      : objects_(objects), disk_(disk), prefix_(std::move(prefix)) {}

  StatusOr<std::string> ReadBytes(const StateFile& file) override;
  Status Fetch(const StateFile& file, const std::string& local_path) override;
  Status Verify(const StateFile& file);

 private:
  Status Broken(const StateFile& file, const Status& why) const;
  Status Check(const StateFile& file, std::string_view content) const;

  ObjectStore& objects_;
  Disk& disk_;
  const std::string prefix_;
};

}  // namespace weir
