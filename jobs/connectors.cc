#include "jobs/connectors.h"

#include <fmt/format.h>

namespace weir {

std::string ToText(const FileSourceOptions& options) {
  return fmt::format("input={} rate={} range={}", options.input, options.rate,
                     FormatSize(options.split_range_bytes));
}

SourceSpec<Event> EventFiles(FileSourceOptions options, EventFields fields) {
  auto spec = internal::LineFiles<Event>(
      std::move(options), [fields] { return std::make_unique<EventDecoder>(fields); });
  spec.options +=
      fmt::format(" id={} time={} type={} tenant={} priority={}", fmt::join(fields.id, ","),
                  fields.time, fields.type, fields.tenant, fields.priority);
  return spec;
}

SinkSpec<Event> EventFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<Event, EventLines>(std::move(options));
}

SinkSpec<DeadLetter> DeadLetterFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<DeadLetter, DeadLetterLines>(std::move(options));
}

}  // namespace weir
