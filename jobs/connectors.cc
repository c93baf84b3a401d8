#include "jobs/connectors.h"

#include <fmt/format.h>

namespace weir {

std::string ToText(const FileSourceOptions& options) {
  std::string text = fmt::format("input={} rate={} range={}", options.input, options.rate,
                                 FormatSize(options.split_range_bytes));
  // What came later is only told where it is used, so that older fingerprints stay.
  if (options.watch > 0) text += " watch=" + FormatDuration(options.watch);
  if (options.from_time != kMinTimestamp) text += " from=" + FormatTimestamp(options.from_time);
  if (!options.from_file.empty()) {
    text += fmt::format(" from={}:{}", options.from_file, options.from_offset);
  }
  return text;
}

SourceSpec<Event> EventFiles(FileSourceOptions options, EventFields fields) {
  auto spec = internal::LineFiles<Event>(
      std::move(options), [fields] { return std::make_unique<EventDecoder>(fields); });
  spec.options +=
      fmt::format(" id={} time={} type={} tenant={} priority={}", fmt::join(fields.id, ","),
                  fields.time, fields.type, fields.tenant, fields.priority);
  return spec;
}

SourceSpec<NexmarkEvent> Nexmark(NexmarkOptions options) {
  return {
      .kind = "nexmark",
      .options = fmt::format(
          "events={} rate={} splits={} base_time={} event_delay={} out_of_order_group={} hot={},{},"
          "{} active_people={} in_flight_auctions={} bytes={},{},{}",
          options.events, options.rate, options.splits, FormatTimestamp(options.base_time),
          FormatDuration(options.event_delay), options.out_of_order_group,
          options.hot_auction_ratio, options.hot_bidder_ratio, options.hot_seller_ratio,
          options.active_people, options.in_flight_auctions, options.person_bytes,
          options.auction_bytes, options.bid_bytes),
      .make = [options]() -> std::unique_ptr<Source> {
        return std::make_unique<NexmarkSource>(options);
      },
      .check = [options](Environment&, std::string_view) { return CheckNexmarkOptions(options); }};
}

SinkSpec<Event> EventFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<Event, EventLines>(std::move(options));
}

SinkSpec<DeadLetter> DeadLetterFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<DeadLetter, DeadLetterLines>(std::move(options));
}

}  // namespace weir
