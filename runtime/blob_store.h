// BlobStore: job libraries and their resources, by the SHA-256 of their bytes, in a folder. What a
// coordinator was sent and what a worker has fetched.
//
// A name is a hash that was checked, so nothing that came from outside becomes a path. Thread-safe;
// calls block.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "core/environment.h"

namespace weir {

// 64 digits in lower case.
bool IsSha256(std::string_view text);
// Letters, digits and "-_.", at most 200 of them, and not a dot first: it can stand in a
// path and in a log.
bool IsPlainName(std::string_view text);

class BlobStore {
 public:
  // `env` must outlive it. The folder is made with the first blob.
  BlobStore(Environment& env, std::string folder);

  // Durable when it returns. InvalidArgument if `sha256` is not that of the bytes.
  Status Put(const std::string& sha256, std::string_view bytes);
  // Where it is; NotFound if it is not there.
  StatusOr<std::string> Find(const std::string& sha256);
  // DataLoss if the bytes have changed since.
  StatusOr<std::string> Read(const std::string& sha256);

 private:
  Environment& env_;
  const std::string folder_;
  std::mutex mutex_;  // one writer
};

}  // namespace weir
