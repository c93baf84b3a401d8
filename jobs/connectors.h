// Sources and sinks for job definitions, by the row type that they read or write.
//
//   auto time = [](const Order& o) { return o.time; };
//   job.From("orders", JsonFiles<Order>({.input = "orders"}, time))
//      .To("files", JsonFileSink<Order>({.directory = "out", .by_partition = false}));
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>

#include "jobs/job_builder.h"
#include "operators/sinks/blackhole_sink.h"
#include "operators/sinks/file_sink.h"
#include "operators/sinks/line_formatter.h"
#include "operators/sinks/stdout_sink.h"
#include "operators/sources/event_decoder.h"
#include "operators/sources/file_source.h"
#include "operators/sources/json_line_decoder.h"
#include "operators/sources/nexmark_source.h"

namespace weir {

// Sources.

// JSON lines as Events (operators/sources/event_decoder.h).
SourceSpec<Event> EventFiles(FileSourceOptions options, EventFields fields);

// "input=orders rate=0 range=64MiB", for plans and fingerprints.
std::string ToText(const FileSourceOptions& options);

namespace internal {

template <class T>
SourceSpec<T> LineFiles(FileSourceOptions options,
                        std::function<std::unique_ptr<LineDecoder>()> make_decoder) {
  return {.options = ToText(options),
          .make = [options, make_decoder]() -> std::unique_ptr<Source> {
            return std::make_unique<FileSource>(options, make_decoder());
          },
          .check = [options](Environment& env,
                             std::string_view) { return CheckFileSource(options, env); },
          .reads = [options](Environment& env) -> StatusOr<FoldersRead> {
            FoldersRead read;
            WEIR_RETURN_IF_ERROR(FindInputPaths(env.disk, options.input, options.watch > 0,
                                                read.folders, read.files));
            return read;
          }};
}

inline std::optional<Timestamp> ToTime(std::string_view text) { return ParseRfc3339(text); }
inline std::optional<Timestamp> ToTime(std::optional<Timestamp> time) { return time; }

}  // namespace internal

// JSON lines as rows of a described type. time: from const T& a Timestamp, an optional one, or the
// text of an RFC 3339 time.
template <class T, class TimeFn>
SourceSpec<T> JsonFiles(FileSourceOptions options, TimeFn time) {
  auto event_time = [time](const T& row) { return internal::ToTime(time(row)); };
  return internal::LineFiles<T>(std::move(options),
                                [event_time] { return MakeJsonLineDecoder<T>(event_time); });
}

// The same, with the time of arrival as event time.
template <class T>
SourceSpec<T> JsonFiles(FileSourceOptions options) {
  return internal::LineFiles<T>(std::move(options), [] { return MakeJsonLineDecoder<T>(); });
}

// The events of the NEXMark benchmark, from nowhere (operators/sources/nexmark_generator.h).
SourceSpec<NexmarkEvent> Nexmark(NexmarkOptions options);

// Sinks.

namespace internal {

std::string PlanText(const FileSinkOptions& options);

template <class T, class Formatter>
SinkSpec<T> LinesToFiles(FileSinkOptions options) {
  return {
      .kind = "files",
      .options = PlanText(options),
      .exactly_once = true,
      .can_revoke = options.can_revoke,
      .make = [options]() -> std::unique_ptr<Sink> {
        return std::make_unique<FileSink>(options, std::make_unique<Formatter>());
      },
      .lines = {[]() -> std::unique_ptr<LineFormatter> { return std::make_unique<Formatter>(); },
                options.by_partition},
      .check =
          [options](Environment& env, std::string_view job_id) {
            return CheckFileSink(options, env, std::string(job_id));
          },
      .last_committed =
          [options](Environment& env, std::string_view job_id, std::string_view stage) {
            return LastCommittedCheckpoint(options, env, job_id, stage);
          },
      .writes = options.directory};
}

}  // namespace internal

// The options that `compression`, `partition`, `part_bytes`, `part_time` and `manifest` choose;
// where the files go is left to the job.
FileSinkOptions FileSinkParameters(Parameters& params);

// The events' lines, byte for byte, in a folder per route; exactly once.
SinkSpec<Event> EventFileSink(FileSinkOptions options);
// {"operator","error","record"}, exactly once.
SinkSpec<DeadLetter> DeadLetterFileSink(FileSinkOptions options);

// Rows as JSON lines in files, exactly once.
template <class T>
SinkSpec<T> JsonFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<T, JsonLines<T>>(std::move(options));
}

// Rows as JSON lines on standard output, at least once.
template <class T>
SinkSpec<T> JsonStdout() {
  return {.kind = "stdout",
          .exactly_once = false,
          .make = []() -> std::unique_ptr<Sink> {
            return std::make_unique<StdoutSink>(std::make_unique<JsonLines<T>>());
          },
          .lines = {
              []() -> std::unique_ptr<LineFormatter> { return std::make_unique<JsonLines<T>>(); }}};
}

// Nowhere.
template <class T>
SinkSpec<T> Blackhole() {
  return {.kind = "blackhole", .can_revoke = true, .make = []() -> std::unique_ptr<Sink> {
            return std::make_unique<BlackholeSink>();
          }};
}

}  // namespace weir
