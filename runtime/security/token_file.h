// The file of --token-file: who may do what.
//
//   tokens:
//     - name: ci
//       role: submit
//       sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b
//       expires: 2027-01-01T00:00:00Z
//     - name: worker-1
//       role: worker
//       token: 5f0c...
//
// An entry has the SHA-256 of its token, or the token itself where this process presents it: a
// worker joins with the one `token` of its file. `expires` may be left out. A file that is one line
// without a colon is a token to present, and nothing else.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/time.h"
#include "runtime/rest/role.h"

namespace weir {

struct TokenEntry {
  std::string name;
  Role role = Role::kRead;
  std::string sha256;  // hexadecimal, lower case
  std::string token;   // empty: only its sum is known
  std::optional<Timestamp> expires;
};

// Whether it has only characters that fit behind "Authorization: Bearer " and into one line.
bool IsToken(std::string_view text);

// InvalidArgument with path and line, and never with anything that may be a token.
StatusOr<std::vector<TokenEntry>> ParseTokenFile(const std::string& path, std::string_view content);

// Both read a secret: a file that others may read is refused (secret_file.h).
StatusOr<std::vector<TokenEntry>> ReadTokenFile(const std::string& path);
// The token that a client or a worker presents.
StatusOr<std::string> ReadToken(const std::string& path);

}  // namespace weir
