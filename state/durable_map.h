// DurableMap: a small map of keys to bytes that survives a crash at any moment: each change is on
// the device when the call returns (RocksDB, with a synced write-ahead log). For what a coordinator
// must not forget; not for the data of jobs.
//
// One process at a time. Thread-safe; all calls block.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

class DurableMap {
 public:
  // Makes the folder if there is none. Unavailable if another process has it open, DataLoss if it
  // is damaged.
  static StatusOr<std::unique_ptr<DurableMap>> Open(const std::string& folder);
  ~DurableMap();
  DurableMap(const DurableMap&) = delete;

  Status Put(std::string_view key, std::string_view value);
  Status Remove(std::string_view key);  // OK if there is none
  // All whose key begins with `prefix`.
  StatusOr<std::map<std::string, std::string>> Load(std::string_view prefix);

 private:
  struct Impl;
  explicit DurableMap(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace weir
