// What the plugins of this folder do with lines of JSON: read one member, and add one. The line is
// known to be one JSON object, and may be any.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

namespace flights {

// The integer `name` of the line; nullopt where it has none, or it is something else. Of two
// members of one name the first counts, as it does for Weir.
inline std::optional<int64_t> FindInteger(simdjson::ondemand::parser& parser, std::string_view line,
                                          std::string_view name) {
  const simdjson::padded_string padded(line);
  auto document = parser.iterate(padded);
  for (auto member : document.get_object()) {
    if (std::string_view(member.unescaped_key()) != name) continue;
    int64_t number = 0;
    if (member.value().get_int64().get(number) == simdjson::SUCCESS) return number;
    return std::nullopt;
  }
  return std::nullopt;
}

// Text as a JSON string.
inline std::string Quoted(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c < ' ') {
      quoted += {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
    } else {
      quoted += static_cast<char>(c);
    }
  }
  return quoted + '"';
}

// The line with one member more, in front, so that it is the one that counts.
inline std::string WithMember(std::string_view line, std::string_view name,
                              std::string_view json_value) {
  const size_t open = line.find('{');
  const std::string_view rest = line.substr(open + 1);
  const bool empty = rest[rest.find_first_not_of(" \t\r")] == '}';
  return '{' + Quoted(name) + ':' + std::string(json_value) + (empty ? "" : ",") +
         std::string(rest);
}

}  // namespace flights
