#include "shadow/tap.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/codec.h"
#include "core/hash.h"
#include "core/limits.h"
#include "operators/sinks/line_writer.h"

namespace weir::shadow {
namespace {

constexpr std::string_view kFormat = "tap/1";
constexpr size_t kBlockBytes = 256 << 10;
constexpr size_t kBufferedBytesMax = 8 << 20;

// Each by itself, at its own time.
LineWriter::Options SingleLines(bool by_partition) {
  LineWriter::Options options = TapLines(by_partition);
  options.block_bytes = 1;
  return options;
}

}  // namespace

// Takes what a formatter writes, a batch at a time.
class Tap::Lines final : public LineWriter {
 public:
  Lines(Tap& tap, bool by_partition) : LineWriter(SingleLines(by_partition)), tap_(tap) {}

  void Take(LineFormatter& formatter, const BatchBase& batch, Output& out) {
    set_rejects(out);
    formatter.Format(batch, *this);
    FlushAll();
  }

 private:
  void TakeLines(const LineBlock& block, weir::Lines lines) override {
    Target& target = tap_.TargetOf(block.partition);
    std::string_view rest = lines.bytes;
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      tap_.Add(target, rest.substr(0, end), lines.min_time);
      rest.remove_prefix(end + 1);
    }
  }

  Tap& tap_;
};

Tap::Tap(TapOptions options)
    : options_(std::move(options)),
      formatter_(options_.lines.make ? options_.lines.make() : nullptr),
      lines_(std::make_unique<Lines>(*this, options_.lines.by_partition)) {}

Tap::~Tap() = default;

// Whose 16 bytes are equal has the same output, and the same key, or text if it has no key.
std::string_view Tap::MeetingOf(std::string_view output, const Record& record) {
  meeting_of_.assign(output);
  meeting_of_.push_back(record.key.empty() ? '\1' : '\0');
  meeting_of_ += record.key.empty() ? record.text : record.key;
  meeting_ = Hash128(meeting_of_);
  return MeetingBytes(meeting_);
}

Tap::Target& Tap::TargetOf(std::string_view route) {
  const auto known = targets_.find(route);
  if (known != targets_.end()) return known->second;
  Target& target = targets_[std::string(route)];
  target.name = options_.names.Of(options_.sink, route);
  target.reader = std::make_unique<RecordReader>(options_.rules->For(target.name));
  return target;
}

void Tap::Add(Target& target, std::string_view line, Timestamp time) {
  const Record& record = target.reader->ReadUnpadded(line);
  Collector<TappedRecord>& out = records_.BeginRow(std::max(time, watermark_));
  out.Emit({static_cast<uint8_t>(options_.version), out.Keep(target.name),
            out.Keep(MeetingOf(target.name, record)), out.Keep(record.key), out.Keep(record.text)});
  records_.CommitRow();
}

StatusOr<Progress> Tap::Process(int, BatchPtr batch, Output& out) {
  if (formatter_ != nullptr) {
    lines_->Take(*formatter_, *batch, out);
  } else {
    Target& target = TargetOf("");
    for (size_t row = 0; row < batch->rows(); ++row) {
      json_.Clear();
      options_.codec->WriteJson(*batch, row, json_);
      Add(target, json_.text(), batch->times()[row]);
    }
  }
  out.Emit(0, records_.Take({}));
  return Progress::kDone;
}

StatusOr<Progress> Tap::OnWatermark(Timestamp watermark, Output&) {
  watermark_ = std::max(watermark_, watermark);  // those behind a restart may be earlier
  return Progress::kDone;
}

StatusOr<StateDescription> Tap::DescribeState() {
  StateDescription description;
  description.own.formats = {std::string(kFormat)};
  return description;
}

// Of several earlier taps, at another parallelism, the earliest.
Status Tap::Open(OperatorContext& context) {
  std::optional<Timestamp> earliest;
  for (const RestoredSnapshot& restored : context.restore->snapshots) {
    const StateSnapshot& snapshot = restored.snapshot;
    if (snapshot.format.empty()) continue;
    ByteReader in(snapshot.inline_bytes);
    uint64_t watermark = 0;
    if (snapshot.format != kFormat || !in.Fixed64(watermark) || !in.done()) {
      return absl::DataLossError(
          fmt::format("stage '{}': its state is not that of a tap", context.stage));
    }
    earliest = std::min(static_cast<Timestamp>(watermark), earliest.value_or(kMaxTimestamp));
  }
  watermark_ = earliest.value_or(kMinTimestamp);
  return absl::OkStatus();
}

std::unique_ptr<Frozen> Tap::Freeze(CheckpointId) {
  StateSnapshot snapshot;
  snapshot.format = kFormat;
  PutFixed64(static_cast<uint64_t>(watermark_), snapshot.inline_bytes);
  return std::make_unique<FrozenSnapshot>(std::move(snapshot));
}

std::string OutputNames::Of(std::string_view sink, std::string_view route) const {
  if (route.empty()) return std::string(sink);
  if (routed.size() < 2 && !sinks.contains(route)) return std::string(route);
  return fmt::format("{}/{}", sink, route);
}

LineWriter::Options TapLines(bool by_partition) {
  return {.block_bytes = kBlockBytes,
          .buffered_bytes_max = kBufferedBytesMax,
          .partitions_max = weir::limits::kSinkPartitionsMax,
          .by_partition = by_partition,
          .time_path = {}};
}

std::shared_ptr<const RowCodec> CodecInto(const BuiltJob& code, int stage) {
  const auto edge = std::find_if(code.graph.edges.begin(), code.graph.edges.end(),
                                 [&](const EdgeSpec& each) { return each.to == stage; });
  WEIR_CHECK(edge != code.graph.edges.end());  // a sink is made at the end of a stream
  return code.edges[edge - code.graph.edges.begin()].codec;
}

StageSpec TapSpec(const StageSpec& sink) {
  StageSpec tap;
  tap.name = sink.name;
  tap.kind = "tap";
  tap.on_failure = sink.on_failure;
  tap.options = "of " + sink.kind;
  return tap;
}

StageCode TapCode(Version version, const BuiltJob& code, int stage, const OutputNames& names,
                  std::shared_ptr<const ShadowRules> rules) {
  TapOptions options;
  options.version = version;
  options.sink = code.graph.stages[stage].name;
  options.names = names;
  options.codec = CodecInto(code, stage);
  options.lines = code.stages[stage].lines;
  options.rules = std::move(rules);
  StageCode tap;
  tap.op = [options] { return std::make_unique<Tap>(options); };
  return tap;
}

}  // namespace weir::shadow
