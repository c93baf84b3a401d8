// Tap: the operator that stands in a shadow where a job has a sink. It makes of each row the record
// that the sink would have written, in canonical form, and sends that to the comparison.
//
// A record that goes out has its own time, so that those of all versions become due at once, but
// the watermark at its arrival if that is later: so a version that is wrong about event times still
// meets the others while they are near. That watermark is the tap's state: records behind a restart
// get the times that they had before.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "core/row_codec.h"
#include "jobs/built_job.h"
#include "operators/sinks/line_formatter.h"
#include "operators/transforms/collector.h"
#include "shadow/record.h"
#include "shadow/rules.h"
#include "shadow/tapped_record.h"

namespace weir::shadow {

// How what is written is named, so that no two outputs have one name: a sink's by its stage, a
// route's of it by the route, "stage/route" where another sink could have an output of that name.
struct OutputNames {
  std::set<std::string, std::less<>> sinks;   // of both versions
  std::set<std::string, std::less<>> routed;  // those of them whose routes are outputs

  std::string Of(std::string_view sink, std::string_view route) const;
};

struct TapOptions {
  Version version = Version::kBaseline;
  std::string sink;  // the stage's name
  OutputNames names;
  std::shared_ptr<const RowCodec> codec;  // of the rows
  SinkLines lines;                        // what the sink writes; else the row as the codec's JSON
  std::shared_ptr<const ShadowRules> rules;
};

class Tap final : public Operator {
 public:
  explicit Tap(TapOptions options);
  ~Tap() override;

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;

 private:
  class Lines;
  // What is known of an output that a row has gone to.
  struct Target {
    std::string name;
    std::unique_ptr<RecordReader> reader;
  };
  Target& TargetOf(std::string_view route);
  std::string_view MeetingOf(std::string_view output, const Record& record);
  // A line that the sink would have written.
  void Add(Target& target, std::string_view line, Timestamp time);

  const TapOptions options_;
  const std::unique_ptr<LineFormatter> formatter_;  // null: the codec
  std::unique_ptr<Lines> lines_;
  JsonWriter json_;
  std::map<std::string, Target, std::less<>> targets_;  // by route
  std::string meeting_of_;
  Fingerprint meeting_;
  Timestamp watermark_ = kMinTimestamp;
  RowBuilder<TappedRecord> records_;
};

// How lines are gathered that no sink writes, a batch at a time.
LineWriter::Options TapLines(bool by_partition);

// The codec of the rows that the stage of that index gets; of several edges that of the first.
// REQUIRES: it is a sink.
std::shared_ptr<const RowCodec> CodecInto(const BuiltJob& code, int stage);

// A tap in place of the sink that is `stage` of the version's graph.
StageSpec TapSpec(const StageSpec& sink);
StageCode TapCode(Version version, const BuiltJob& code, int stage, const OutputNames& names,
                  std::shared_ptr<const ShadowRules> rules);

}  // namespace weir::shadow
