// Log: what a process of a cluster says on stderr: a line for each thing that happened, with its
// time, a level, and where it belongs as far as that is known.
//
//   text   2026-11-29T14:00:00.123Z warning job=flights-1 attempt=3 operator=dedup subtask=1: ...
//   json   {"time":"...","level":"warning","job":"flights-1",...,"message":"..."}, one a line
//   plain  weir: ...
//
// A message may quote anything: bytes that are no UTF-8 become U+FFFD in json, \xff in text,
// control characters are escaped, so that no record can forge a line, and what looks like a
// password or a token is left out (runtime/secrets_in_text.h).
//
// Owned by the command; may be written to from any thread. Written through at once.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "core/environment.h"

namespace weir {

enum class LogLevel { kInfo, kWarning, kError };
enum class LogFormat { kText, kJson, kPlain };

// "text" or "json"; anything else is kPlain.
LogFormat ParseLogFormat(std::string_view name);

struct LogLine {
  std::string message;
  LogLevel level = LogLevel::kInfo;
  // What is empty, 0 or negative is not known, or the line is of none.
  std::string job;
  uint32_t attempt = 0;
  int executor = -1;
  std::string op;  // the operator: a stage's name
  int subtask = -1;
  // Lines with the same word here, of the same job and operator, count together, and of many of
  // them most are left out. Null: each line is said. Must outlive the log.
  const char* flood = nullptr;

  LogLine() = default;
  template <class Text>
  requires std::convertible_to<const Text&, std::string_view> LogLine(
      const Text& text)  // NOLINT: a text is a line
      : message(std::string_view(text)) {}
  static LogLine Warning(std::string_view text, const char* flood = nullptr) {
    LogLine line(text);
    line.level = LogLevel::kWarning;
    line.flood = flood;
    return line;
  }
  static LogLine Error(std::string_view text) {
    LogLine line(text);
    line.level = LogLevel::kError;
    return line;
  }
};

class Log {
 public:
  // `clock`, and `to` if it is given in place of stderr, must outlive the log.
  Log(LogFormat format, Clock& clock, std::ostream* to = nullptr);
  ~Log();  // tells what was left out

  void Write(const LogLine& line);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace weir
