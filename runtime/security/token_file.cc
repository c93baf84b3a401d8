#include "runtime/security/token_file.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "jobs/parameters.h"
#include "runtime/limits.h"
#include "runtime/security/secret_file.h"

namespace weir {
namespace {

constexpr Role kRoles[] = {Role::kRead, Role::kOperate, Role::kSubmit, Role::kWorker};

class Parser {
 public:
  explicit Parser(const std::string& path) : path_(path) {}

  StatusOr<std::vector<TokenEntry>> Parse(std::string_view content) {
    YAML::Node root;
    try {
      root = YAML::Load(std::string(content));
    } catch (const YAML::Exception& error) {  // its text may quote the file
      return Wrong(error.mark, "this is no YAML");
    }
    try {
      return ParseRoot(root);
    } catch (const YAML::Exception& error) {
      return Wrong(error.mark, "this is not as it should be");
    }
  }

 private:
  Status Wrong(const YAML::Mark& mark, std::string_view what) const {
    // An empty file has no place.
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", path_, std::max(mark.line, 0) + 1, what));
  }

  StatusOr<std::vector<TokenEntry>> ParseRoot(const YAML::Node& root) {
    if (!root.IsMap() || root.size() != 1 || !root["tokens"] || !root["tokens"].IsSequence()) {
      return Wrong(root.Mark(), "a file of tokens is a list named `tokens`; see docs/security.md");
    }
    const YAML::Node list = root["tokens"];
    if (list.size() == 0) return Wrong(list.Mark(), "there is no token, so nobody could come in");
    if (list.size() > limits::kTokensMax) {
      return Wrong(list.Mark(), fmt::format("at most {} tokens", limits::kTokensMax));
    }
    std::vector<TokenEntry> entries;
    std::set<std::string> names, sums;
    for (const YAML::Node& node : list) {
      WEIR_ASSIGN_OR_RETURN(TokenEntry entry, ParseEntry(node));
      if (!names.insert(entry.name).second) return Wrong(node.Mark(), "the name is there already");
      if (!sums.insert(entry.sha256).second) {
        return Wrong(node.Mark(), "another name has the same token");
      }
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  StatusOr<TokenEntry> ParseEntry(const YAML::Node& node) {
    if (!node.IsMap()) {
      return Wrong(node.Mark(), "a token has `name`, `role` and `sha256` or `token`");
    }
    TokenEntry entry;
    bool has_role = false;
    std::set<std::string> seen;
    for (const auto& member : node) {
      if (!member.first.IsScalar() || !member.second.IsScalar()) {
        return Wrong(member.first.Mark(), "members of a token are texts");
      }
      const std::string& key = member.first.Scalar();
      const std::string& value = member.second.Scalar();
      const YAML::Mark mark = member.second.Mark();
      if (!seen.insert(key).second) return Wrong(mark, "this is there already");
      if (key == "name") {
        if (value.empty() || value.size() > limits::kTokenNameBytesMax || !IsToken(value)) {
          return Wrong(mark, fmt::format("a name is up to {} letters, digits and signs",
                                         limits::kTokenNameBytesMax));
        }
        entry.name = value;
      } else if (key == "role") {
        const auto role = std::find_if(std::begin(kRoles), std::end(kRoles),
                                       [&](Role known) { return RoleName(known) == value; });
        if (role == std::end(kRoles))
          return Wrong(mark, "a role is read, operate, submit or worker");
        entry.role = *role;
        has_role = true;
      } else if (key == "sha256") {
        entry.sha256 = value;
        for (char& c : entry.sha256) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
        if (entry.sha256.size() != 64 ||
            entry.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
          return Wrong(mark, "a SHA-256 is 64 hexadecimal digits: printf %s TOKEN | sha256sum");
        }
      } else if (key == "token") {
        WEIR_RETURN_IF_ERROR(CheckToken(mark, value));
        entry.token = value;
      } else if (key == "expires") {
        entry.expires = ParseRfc3339(value);
        if (!entry.expires) return Wrong(mark, "a time is written as 2027-01-01T00:00:00Z");
      } else {
        return Wrong(member.first.Mark(),
                     "a token has `name`, `role`, `sha256` or `token`, and `expires`");
      }
    }
    if (entry.name.empty() || !has_role) return Wrong(node.Mark(), "`name` or `role` is missing");
    if (entry.sha256.empty() == entry.token.empty()) {
      return Wrong(node.Mark(), "wanted is `sha256`, or `token`, and not both");
    }
    if (entry.sha256.empty()) entry.sha256 = Sha256Hex(entry.token);
    return entry;
  }

  Status CheckToken(const YAML::Mark& mark, std::string_view token) const {
    if (!IsToken(token) || token.size() < limits::kTokenBytesMin ||
        token.size() > limits::kTokenBytesMax) {
      return Wrong(mark, fmt::format("a token is {} to {} letters, digits and signs: openssl rand "
                                     "-hex 32 makes one",
                                     limits::kTokenBytesMin, limits::kTokenBytesMax));
    }
    return absl::OkStatus();
  }

  const std::string& path_;
};

}  // namespace

bool IsToken(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

StatusOr<std::vector<TokenEntry>> ParseTokenFile(const std::string& path,
                                                 std::string_view content) {
  return Parser(path).Parse(content);
}

StatusOr<std::vector<TokenEntry>> ReadTokenFile(const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(const std::string content,
                        ReadSecretFile(path, limits::kTokenFileBytesMax));
  return ParseTokenFile(path, content);
}

StatusOr<std::string> ReadToken(const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(std::string content, ReadSecretFile(path, limits::kTokenFileBytesMax));
  if (content.find(':') == std::string::npos) {
    while (!content.empty() && (content.back() == '\n' || content.back() == '\r')) {
      content.pop_back();
    }
    if (content.size() >= limits::kTokenBytesMin && content.size() <= limits::kTokenBytesMax &&
        IsToken(content)) {
      return content;
    }
    return absl::InvalidArgumentError(
        fmt::format("{} is not one line with a token; see docs/security.md", path));
  }
  WEIR_ASSIGN_OR_RETURN(const std::vector<TokenEntry> entries, ParseTokenFile(path, content));
  const TokenEntry* own = nullptr;
  for (const TokenEntry& entry : entries) {
    if (entry.token.empty()) continue;
    if (own != nullptr) {
      return absl::InvalidArgumentError(fmt::format(
          "{} has two entries with `token`; the one that is presented must be the only one", path));
    }
    own = &entry;
  }
  if (own != nullptr) return own->token;
  return absl::InvalidArgumentError(
      fmt::format("{} has no entry with `token`, so there is nothing to present", path));
}

}  // namespace weir
