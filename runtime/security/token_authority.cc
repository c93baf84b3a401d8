#include "runtime/security/token_authority.h"

#include <absl/strings/match.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

#include "jobs/parameters.h"
#include "runtime/limits.h"
#include "runtime/security/secret.h"

namespace weir {
namespace {

bool Includes(Role role, Role needed) {
  if (role == Role::kWorker || needed == Role::kWorker) return role == needed;
  return role >= needed;
}

int64_t Nanos(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

}  // namespace

StatusOr<std::unique_ptr<TokenAuthority>> TokenAuthority::Open(std::string path, Log log) {
  std::unique_ptr<TokenAuthority> authority(new TokenAuthority(std::move(path), std::move(log)));
  WEIR_RETURN_IF_ERROR(authority->Read());
  return authority;
}

TokenAuthority::Stamp TokenAuthority::StampNow() const {
  struct stat info {};
  if (stat(path_.c_str(), &info) != 0) return {};
  return {info.st_dev,         info.st_ino,
          info.st_mode,        static_cast<uint64_t>(info.st_size),
          Nanos(info.st_mtim), Nanos(info.st_ctim)};
}

Status TokenAuthority::Read() {
  // In front of the reading: what changes in between is found at the next look.
  stamp_ = StampNow();
  StatusOr<std::vector<TokenEntry>> entries = ReadTokenFile(path_);
  status_ = entries.status();
  entries_ = entries.ok() ? *std::move(entries) : std::vector<TokenEntry>();
  return status_;
}

void TokenAuthority::LookAgain(Timestamp now) {
  if (looked_ && now >= *looked_ && now - *looked_ < limits::kTokenFilePollInterval) return;
  looked_ = now;
  if (StampNow() == stamp_) return;
  const Status before = status_;
  if (Status status = Read(); !status.ok()) {
    if (status != before)
      log_(fmt::format("no token is accepted: {}", std::string(status.message())));
  } else {
    log_(fmt::format("read {} again: {} tokens", path_, entries_.size()));
  }
}

StatusOr<Principal> TokenAuthority::Check(std::string_view presented, Role needed, Timestamp now) {
  if (presented.empty()) return absl::UnauthenticatedError("a token is needed");
  const std::string sha256 =
      presented.size() <= limits::kTokenBytesMax ? Sha256Hex(presented) : std::string();
  std::lock_guard lock(mutex_);
  LookAgain(now);
  if (!status_.ok()) return absl::UnavailableError("tokens cannot be checked at the moment");
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries_) {
    if (SameSecret(entry.sha256, sha256)) found = &entry;
  }
  if (found == nullptr) return absl::UnauthenticatedError("the token is not known");
  if (found->expires && now >= *found->expires) {
    return absl::UnauthenticatedError(fmt::format("the token of '{}' expired on {}", found->name,
                                                  FormatTimestamp(*found->expires)));
  }
  if (!Includes(found->role, needed)) {
    return absl::PermissionDeniedError(
        fmt::format("the token of '{}' has the role {}; this needs {}", found->name,
                    RoleName(found->role), RoleName(needed)));
  }
  return Principal{found->name, found->role};
}

StatusOr<Principal> TokenAuthority::CheckHeader(std::string_view authorization, Role needed,
                                                Timestamp now) {
  constexpr std::string_view kScheme = "bearer ";
  const bool bearer =
      authorization.size() >= kScheme.size() &&
      absl::EqualsIgnoreCase(absl::string_view(authorization.data(), kScheme.size()),
                             absl::string_view(kScheme.data(), kScheme.size()));
  if (!bearer && !authorization.empty()) {
    return absl::UnauthenticatedError("a token is sent as `Authorization: Bearer TOKEN`");
  }
  return Check(bearer ? authorization.substr(kScheme.size()) : authorization, needed, now);
}

}  // namespace weir
