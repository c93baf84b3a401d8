#include "runtime/log.h"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <chrono>
#include <map>
#include <mutex>
#include <tuple>

#include "core/json.h"
#include "core/utf8.h"
#include "runtime/limits.h"
#include "runtime/log_limit.h"
#include "runtime/secrets_in_text.h"

namespace weir {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l%v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";
constexpr const char* kPlainPattern = "weir: %v";

const char* PatternOf(LogFormat format) {
  switch (format) {
    case LogFormat::kText:
      return kTextPattern;
    case LogFormat::kJson:
      return kJsonPattern;
    case LogFormat::kPlain:
      break;
  }
  return kPlainPattern;
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

// A line break begins a line that is indented.
std::string PrintableLines(std::string_view text) {
  std::string lines;
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    lines += Printable(text.substr(0, end)) + "\n    ";
    text.remove_prefix(end + 1);
  }
  return lines + Printable(text);
}

std::string TextOf(const LogLine& line, std::string_view message) {
  std::string text;
  if (!line.job.empty()) text += fmt::format(" job={}", line.job);
  if (line.attempt != 0) text += fmt::format(" attempt={}", line.attempt);
  if (line.executor >= 0) text += fmt::format(" executor={}", line.executor);
  if (!line.op.empty()) text += fmt::format(" operator={}", line.op);
  if (line.subtask >= 0) text += fmt::format(" subtask={}", line.subtask);
  return Printable(text) + ": " + PrintableLines(message);
}

// The members of an object that has begun.
std::string JsonOf(const LogLine& line, std::string_view message) {
  JsonWriter json;
  json.StartObject();
  const auto text = [&](const char* key, std::string_view value) {
    json.Key(key);
    json.String(value);
  };
  const auto number = [&](const char* key, int64_t value) {
    json.Key(key);
    json.Int(value);
  };
  if (!line.job.empty()) text("job", line.job);
  if (line.attempt != 0) number("attempt", line.attempt);
  if (line.executor >= 0) number("executor", line.executor);
  if (!line.op.empty()) text("operator", line.op);
  if (line.subtask >= 0) number("subtask", line.subtask);
  text("message", message);
  json.EndObject();
  const std::string_view object = json.text();
  return std::string(object.substr(1, object.size() - 2));
}

std::shared_ptr<spdlog::sinks::sink> MakeSink(std::ostream* to) {
  if (to == nullptr) return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  return std::make_shared<spdlog::sinks::ostream_sink_mt>(*to, /*force_flush=*/true);
}

}  // namespace

LogFormat ParseLogFormat(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  return name == "json" ? LogFormat::kJson : LogFormat::kPlain;
}

struct Log::Impl {
  Impl(LogFormat format, Clock& clock, std::ostream* to)
      : format(format), clock(clock), logger("weir", MakeSink(to)) {
    logger.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        PatternOf(format), spdlog::pattern_time_type::utc, "\n"));
  }

  void Say(const LogLine& line) {
    const std::string message = HideSecrets(line.message);
    std::string rest;
    switch (format) {
      case LogFormat::kText:
        rest = TextOf(line, message);
        break;
      case LogFormat::kJson:
        rest = JsonOf(line, message);
        break;
      case LogFormat::kPlain:
        if (!line.op.empty()) {
          rest = Printable(fmt::format("stage '{}' (subtask {}): ", line.op, line.subtask));
        }
        rest += PrintableLines(message);
    }
    const spdlog::log_clock::time_point at{std::chrono::duration_cast<spdlog::log_clock::duration>(
        std::chrono::microseconds(clock.Now()))};
    logger.log(at, {}, LevelOf(line.level), rest);
  }
  void SayLeftOut(LogLine like, uint64_t lines) {
    like.message = fmt::format("{} more lines like this one were left out: {}", lines, like.flood);
    Say(like);
  }

  const LogFormat format;
  Clock& clock;
  spdlog::logger logger;  // thread-safe
  struct Flood {
    LogLimit limit;
    LogLine last;
  };
  std::mutex mutex;
  std::map<std::tuple<std::string, std::string, std::string>, Flood> floods;  // guarded by mutex
};

Log::Log(LogFormat format, Clock& clock, std::ostream* to)
    : impl_(std::make_unique<Impl>(format, clock, to)) {}

Log::~Log() {
  for (auto& [key, flood] : impl_->floods) {
    if (flood.limit.left_out() > 0) impl_->SayLeftOut(flood.last, flood.limit.left_out());
  }
}

void Log::Write(const LogLine& line) {
  if (line.flood == nullptr) return impl_->Say(line);
  std::optional<uint64_t> left_out;
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->floods.size() >= limits::kLogFloodsMax) impl_->floods.clear();
    Impl::Flood& flood = impl_->floods[{line.flood, line.job, line.op}];
    left_out = flood.limit.Admit(impl_->clock.MonotonicMicros());
    if (!left_out) {
      flood.last = line;
      return;
    }
  }
  if (*left_out > 0) impl_->SayLeftOut(line, *left_out);
  impl_->Say(line);
}

}  // namespace weir
