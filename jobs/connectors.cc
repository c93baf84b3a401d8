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

FileSinkOptions FileSinkParameters(Parameters& params) {
  FileSinkOptions options;
  const std::string compression =
      params.Text("compression", "of the files: zstd, gzip or none", "zstd");
  if (auto known = ParsePartCompression(compression)) {
    options.encoding.compression = *known;
  } else {
    params.AddError("compression", "must be zstd, gzip or none, not '" + compression + "'");
  }
  options.time_partition = params.Text(
      "partition",
      "folders by event time below each route: none, monthly, daily, hourly, or a pattern such as "
      "date=%Y-%m-%d/hour=%H",
      "none");
  if (options.time_partition == "none") options.time_partition = "";
  const Status time_path = TimePath::Parse(options.time_partition).status();
  if (!time_path.ok()) params.AddError("partition", std::string(time_path.message()));
  options.part_bytes = params.Size(
      "part_bytes", "files are finished at this size; 0 with part_time=0s: at each checkpoint", 0);
  options.part_time = params.Time("part_time", "files are finished at this age", 0);
  if (options.part_time < 0) params.AddError("part_time", "must not be negative");
  options.manifest =
      params.Flag("manifest", "keep a list of the committed files in out/.manifest", false);
  return options;
}

std::string internal::PlanText(const FileSinkOptions& options) {
  const std::string more = ToText(options);
  return "directory=" + options.directory + (more.empty() ? "" : " " + more);
}

SinkSpec<Event> EventFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<Event, EventLines>(std::move(options));
}

SinkSpec<DeadLetter> DeadLetterFileSink(FileSinkOptions options) {
  return internal::LinesToFiles<DeadLetter, DeadLetterLines>(std::move(options));
}

}  // namespace weir
