#include "shadow/field_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/json.h"
#include "shadow/limits.h"

namespace weir::shadow {
namespace {

bool IsPlainByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '$' || c == '@' || c == ':' || c == '/' || (c & 0x80) != 0;
}

bool IsPlainName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), IsPlainByte);
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  StatusOr<FieldPath> Read() {
    FieldPath path;
    if (text_.empty()) return Error("the path is empty");
    bool first = true;
    while (at_ < text_.size()) {
      if (path.size() == limits::kPathDepthMax) return Error("the path is too deep");
      if (text_.substr(at_).starts_with("[*]")) {
        path.push_back({PathStep::Kind::kElements, ""});
        at_ += 3;
      } else if (text_[at_] == '[') {
        return Error("after '[' comes '*]': elements are not told apart");
      } else {
        if (!first && text_[at_] != '.') return Error("expected '.' or '[*]'");
        if (!first) ++at_;
        WEIR_ASSIGN_OR_RETURN(PathStep step, ReadMember());
        path.push_back(std::move(step));
      }
      first = false;
    }
    return path;
  }

 private:
  Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is no path of a field: {} (character {})", text_, what, at_ + 1));
  }

  StatusOr<PathStep> ReadMember() {
    if (at_ < text_.size() && text_[at_] == '*') {
      ++at_;
      return PathStep{PathStep::Kind::kAnyMember, ""};
    }
    if (at_ < text_.size() && text_[at_] == '"') return ReadQuoted();
    const size_t begin = at_;
    while (at_ < text_.size() && IsPlainByte(text_[at_])) ++at_;
    if (at_ == begin) return Error("expected a member's name, '*', or a name in double quotes");
    return PathStep{PathStep::Kind::kMember, std::string(text_.substr(begin, at_ - begin))};
  }

  StatusOr<PathStep> ReadQuoted() {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return Error("the quotes do not end");
    JsonParser parser;
    auto name = parser.ParseUnpadded(text_.substr(at_, end + 1 - at_));
    if (!name.ok()) return Error("the name in quotes is no JSON text");
    at_ = end + 1;
    return PathStep{PathStep::Kind::kMember, std::string(*name->GetString())};
  }

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

StatusOr<FieldPath> ParseFieldPath(std::string_view text) { return Reader(text).Read(); }

void AppendMember(std::string_view name, std::string& path) {
  if (!path.empty()) path += '.';
  if (IsPlainName(name)) {
    path += name;
  } else {
    JsonWriter quoted;
    quoted.String(name);
    path += quoted.text();
  }
}

void AppendElements(std::string& path) { path += "[*]"; }

}  // namespace weir::shadow
