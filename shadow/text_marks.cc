// MarkDifferences(): two texts beside each other, line by line.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "shadow/limits.h"
#include "shadow/record_writer.h"
#include "shadow/report_html.h"

namespace weir::shadow {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kLinesMax = 500;  // of texts that are compared line by line

// JSON with a member or element a line. Lists of scalars stay on one.
class Layout {
 public:
  std::vector<std::string> Run(std::string_view text) {
    const auto root = parser_.ParseUnpadded(text);
    if (!root.ok()) return {std::string(text)};
    Visit(*root, "", "", 0);
    return std::move(lines_);
  }

 private:
  static bool IsFlat(const JsonValue& value) {
    bool flat = true;
    value.ForEachElement([&](const JsonValue& element) {
      flat = flat && element.kind() != Kind::kArray && element.kind() != Kind::kObject;
    });
    return flat;
  }

  void Visit(const JsonValue& value, std::string before, std::string_view behind, size_t depth) {
    const std::string indent(2 * depth, ' ');
    const bool object = value.kind() == Kind::kObject;
    const bool list = value.kind() == Kind::kArray && !IsFlat(value);
    if ((!object && !list) || value.size() == 0 || depth == limits::kDepthMax) {
      std::string text;
      writer_.Write(value, plain_, plain_.root(), text);
      lines_.push_back(indent + before + text + std::string(behind));
      return;
    }
    lines_.push_back(indent + before + (object ? "{" : "["));
    size_t left = value.size();
    value.ForEachMember([&](std::string_view name, const JsonValue& member) {
      std::string key = "\"";
      AppendEscaped(name, key);
      Visit(member, key + "\": ", --left == 0 ? "" : ",", depth + 1);
    });
    value.ForEachElement(
        [&](const JsonValue& element) { Visit(element, "", --left == 0 ? "" : ",", depth + 1); });
    lines_.push_back(indent + (object ? "}" : "]") + std::string(behind));
  }

  JsonParser parser_;
  RecordWriter writer_;
  const FieldRules plain_;
  std::vector<std::string> lines_;
};

// What stands between the beginning and the end that both have, in <mark>.
void MarkLines(const std::string& left, const std::string& right, MarkedTexts& marked) {
  size_t head = 0;
  const size_t shorter = std::min(left.size(), right.size());
  while (head < shorter && left[head] == right[head]) ++head;
  while (head > 0 && head < shorter && (left[head] & 0xC0) == 0x80) --head;
  size_t tail = 0;
  while (tail < shorter - head && left[left.size() - 1 - tail] == right[right.size() - 1 - tail]) {
    ++tail;
  }
  while (tail > 0 && (left[left.size() - tail] & 0xC0) == 0x80) --tail;
  auto mark = [&](const std::string& line, std::string& out) {
    out += EscapeHtml(line.substr(0, head));
    const std::string middle = line.substr(head, line.size() - head - tail);
    if (!middle.empty()) out += "<mark>" + EscapeHtml(middle) + "</mark>";
    out += EscapeHtml(line.substr(line.size() - tail)) + "\n";
  };
  mark(left, marked.left);
  mark(right, marked.right);
}

void MarkAll(const std::string& line, std::string& out) {
  const size_t indent = std::min(line.find_first_not_of(' '), line.size());
  out += line.substr(0, indent) + "<mark>" + EscapeHtml(line.substr(indent)) + "</mark>\n";
}

// lengths[i][j]: of the longest common subsequence of left[i..] and right[j..].
std::vector<std::vector<uint16_t>> CommonLengths(const std::vector<std::string>& left,
                                                 const std::vector<std::string>& right) {
  std::vector<std::vector<uint16_t>> lengths(left.size() + 1,
                                             std::vector<uint16_t>(right.size() + 1));
  for (size_t i = left.size(); i-- > 0;) {
    for (size_t j = right.size(); j-- > 0;) {
      lengths[i][j] = left[i] == right[j] ? static_cast<uint16_t>(lengths[i + 1][j + 1] + 1)
                                          : std::max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  return lengths;
}

}  // namespace

MarkedTexts MarkDifferences(std::string_view left_text, std::string_view right_text) {
  const std::vector<std::string> left = Layout().Run(left_text);
  const std::vector<std::string> right = Layout().Run(right_text);
  MarkedTexts marked;
  if (left.size() > kLinesMax || right.size() > kLinesMax) {
    for (const std::string& line : left) marked.left += EscapeHtml(line) + "\n";
    for (const std::string& line : right) marked.right += EscapeHtml(line) + "\n";
    return marked;
  }
  const auto lengths = CommonLengths(left, right);
  size_t i = 0;
  size_t j = 0;
  while (i < left.size() || j < right.size()) {
    if (i < left.size() && j < right.size() && left[i] == right[j]) {
      marked.left += EscapeHtml(left[i++]) + "\n";
      marked.right += EscapeHtml(right[j++]) + "\n";
      continue;
    }
    // A stretch in which nothing is common: its lines meet in pairs.
    const size_t i_begin = i;
    const size_t j_begin = j;
    while (i < left.size() || j < right.size()) {
      if (i < left.size() && j < right.size() && left[i] == right[j]) break;
      const bool from_left =
          j == right.size() || (i < left.size() && lengths[i + 1][j] >= lengths[i][j + 1]);
      from_left ? ++i : ++j;
    }
    const size_t pairs = std::min(i - i_begin, j - j_begin);
    for (size_t k = 0; k < pairs; ++k) MarkLines(left[i_begin + k], right[j_begin + k], marked);
    for (size_t k = i_begin + pairs; k < i; ++k) MarkAll(left[k], marked.left);
    for (size_t k = j_begin + pairs; k < j; ++k) MarkAll(right[k], marked.right);
  }
  return marked;
}

}  // namespace weir::shadow
