// The report of a shadow as one HTML page: it needs no network, no script and no other file,
// follows the reader's light or dark setting, and fits a phone. Everything that comes from records,
// rules or names is escaped.
#pragma once

#include <string>
#include <string_view>

#include "shadow/report.h"

namespace weir::shadow {

std::string ReportHtml(const ShadowReport& report);

// For text and for attributes in double quotes; control characters are shown, not sent.
std::string EscapeHtml(std::string_view text);

// Two texts with what differs in <mark>, escaped. JSON is laid out with a member a line first.
struct MarkedTexts {
  std::string left;
  std::string right;
};
MarkedTexts MarkDifferences(std::string_view left, std::string_view right);

// What stands before and behind the report's own parts: head and styles, and the end.
extern const std::string_view kHtmlHead;  // with one {title}
extern const std::string_view kHtmlTail;

}  // namespace weir::shadow
