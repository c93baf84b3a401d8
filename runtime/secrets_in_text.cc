#include "runtime/secrets_in_text.h"

#include <absl/strings/str_replace.h>
#include <re2/re2.h>

namespace weir {
namespace {

// A shorter value says nothing, and would tear words apart.
constexpr size_t kValueBytesMin = 4;
constexpr const char* kHidden = "***";

#define WEIR_SECRET_WORDS \
  "pass(?:word|wd|phrase)|secret|token|credential|api[_-]?key|private[_-]?key|access[_-]?key"

// In quotes, with what is escaped in it.
#define WEIR_QUOTED R"re("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')re"

}  // namespace

bool IsSecretName(std::string_view name) {
  static const RE2 words("(?i)" WEIR_SECRET_WORDS);
  return RE2::PartialMatch({name.data(), name.size()}, words);
}

std::string HideSecrets(std::string_view text) {
  // Bytes, not characters: what is hidden may be no UTF-8.
  static const RE2 assigned("(?i)([\\w.-]*(?:" WEIR_SECRET_WORDS
                            ")[\\w.-]*\\s*=\\s*)(?:" WEIR_QUOTED "|[^\\s,;&'\")]+)",
                            RE2::Latin1);
  static const RE2 member("(?i)([\"'][\\w.-]*(?:" WEIR_SECRET_WORDS
                          ")[\\w.-]*[\"']\\s*:\\s*)(?:" WEIR_QUOTED "|[^\\s,}]+)",
                          RE2::Latin1);
  static const RE2 url("([A-Za-z][\\w+.-]*://[^/\\s:@]*):[^/\\s@]+@", RE2::Latin1);
  static const RE2 header("(?i)((?:\\bbearer|authorization:\\s*basic)\\s+)[\\w.~+/=-]+",
                          RE2::Latin1);
  std::string hidden(text);
  RE2::GlobalReplace(&hidden, assigned, "\\1***");
  RE2::GlobalReplace(&hidden, member, "\\1\"***\"");
  RE2::GlobalReplace(&hidden, url, "\\1:***@");
  RE2::GlobalReplace(&hidden, header, "\\1***");
  return hidden;
}

void HideParameter(std::string_view name, std::string_view value, std::string& text) {
  if (value.size() < kValueBytesMin || !IsSecretName(name)) return;
  absl::StrReplaceAll({{absl::string_view(value.data(), value.size()), kHidden}}, &text);
}

}  // namespace weir
