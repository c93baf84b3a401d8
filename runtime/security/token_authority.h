// TokenAuthority: tells of a token that somebody presents who that is, and whether they may do what
// they ask for. Of a process that listens; any thread.
//
// The file is looked at again when it is asked and limits::kTokenFilePollInterval has passed: a
// token that was taken out of it stops working then. While a changed file cannot be read or is
// wrong, no token is good, so that a revoked one never is; a log line tells why, and one when it is
// well again. Replace it by renaming. Who was let in stays: connections are not looked at again.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/time.h"
#include "runtime/security/token_file.h"

namespace weir {

struct Principal {
  std::string name;
  Role role = Role::kRead;
};

class TokenAuthority {
 public:
  using Log = std::function<void(const std::string& line)>;

  // Reads the file: its errors are those of ReadTokenFile(). `log` is called on any thread.
  static StatusOr<std::unique_ptr<TokenAuthority>> Open(std::string path, Log log);

  // `now` is the wall clock's. Errors, in words for whoever asked, without a secret:
  //   Unauthenticated   there is none, it is not known, or it has expired
  //   PermissionDenied  its role does not include the one that is needed
  //   Unavailable       the file is wrong at the moment
  // How long it takes does not depend on how much of a token is right.
  StatusOr<Principal> Check(std::string_view presented, Role needed, Timestamp now);
  // The same of what HTTP calls `Authorization`: "Bearer TOKEN".
  StatusOr<Principal> CheckHeader(std::string_view authorization, Role needed, Timestamp now);

 private:
  // Of the file as it was read last; any change of it changes one of these.
  struct Stamp {
    uint64_t device = 0, inode = 0, mode = 0, size = 0;
    int64_t modified_ns = 0, changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  TokenAuthority(std::string path, Log log) : path_(std::move(path)), log_(std::move(log)) {}
  Stamp StampNow() const;
  Status Read();
  void LookAgain(Timestamp now);

  const std::string path_;
  const Log log_;

  std::mutex mutex_;  // guards what follows
  std::vector<TokenEntry> entries_;
  Status status_;  // of the last read
  Stamp stamp_;
  std::optional<Timestamp> looked_;  // at the file
};

}  // namespace weir
