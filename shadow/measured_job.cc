#include "shadow/measured_job.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "operators/sinks/blackhole_sink.h"
#include "operators/sinks/line_formatter.h"
#include "operators/sinks/line_writer.h"
#include "shadow/tap.h"

namespace weir::shadow {
namespace {

constexpr const char* kEnd = "-end";  // behind the name of a sink: what comes after its meter

// A source that reads until the meter says that it is enough, and then waits for the job's end.
class MeasuredSource final : public Source {
 public:
  MeasuredSource(std::unique_ptr<Source> source, std::shared_ptr<RunMeter> meter)
      : source_(std::move(source)), meter_(std::move(meter)) {}

  StatusOr<StateDescription> DescribeState() override { return source_->DescribeState(); }
  Status Open(OperatorContext& context) override {
    clock_ = &context.env->clock;
    reader_ = meter_->AddReader();
    return source_->Open(context);
  }

  StatusOr<PollResult> Poll(Output& out) override {
    if (done_) return Waiting();
    const int64_t now = clock_->MonotonicMicros();
    if (!meter_->BeginPoll(now)) return End();
    Counted counted(out, *meter_);
    WEIR_ASSIGN_OR_RETURN(PollResult polled, source_->Poll(counted));
    if (polled.kind == PollResult::kFinished) return End();
    if (!source_->idle()) {
      meter_->OnSourceWatermark(reader_, source_->watermark(), clock_->MonotonicMicros());
    }
    if (polled.kind == PollResult::kIdle) {
      polled.next_poll = std::min(polled.next_poll, now + kLookInterval);
    }
    return polled;
  }

  Timestamp watermark() const override { return source_->watermark(); }
  bool idle() const override { return done_ || source_->idle(); }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    return source_->Freeze(checkpoint);
  }
  SourceProgress progress() const override { return source_->progress(); }
  void Close() override { source_->Close(); }

 private:
  static constexpr int64_t kLookInterval = 100'000;  // us, at whether it is enough

  // Hands on as much as the meter takes.
  class Counted final : public Output {
   public:
    Counted(Output& out, RunMeter& meter) : out_(out), meter_(meter) {}
    void Emit(int port, BatchPtr batch) override {
      const uint64_t taken = meter_.Take(batch->rows());
      if (taken < batch->rows()) batch = batch->SplitFront(taken);
      out_.Emit(port, std::move(batch));
    }
    void Reject(std::string_view error, std::string_view record, Timestamp time) override {
      if (meter_.Take(1) == 1) out_.Reject(error, record, time);
    }

   private:
    Output& out_;
    RunMeter& meter_;
  };

  PollResult End() {
    done_ = true;
    meter_->EndReader();
    return Waiting();
  }
  static PollResult Waiting() { return {PollResult::kIdle, std::numeric_limits<int64_t>::max()}; }

  const std::unique_ptr<Source> source_;
  const std::shared_ptr<RunMeter> meter_;
  Clock* clock_ = nullptr;
  int reader_ = 0;
  bool done_ = false;
};

class Meter final : public Operator {
 public:
  Meter(SinkLines lines, std::shared_ptr<const RowCodec> codec, std::shared_ptr<RunMeter> meter)
      : formatter_(lines.make ? lines.make() : nullptr),
        lines_(lines.by_partition),
        codec_(std::move(codec)),
        meter_(std::move(meter)) {}

  Status Open(OperatorContext& context) override {
    clock_ = &context.env->clock;
    return absl::OkStatus();
  }
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    meter_->OnRows(formatter_ ? lines_.Count(*formatter_, *batch, out) : BytesOf(*batch),
                   clock_->MonotonicMicros());
    return Progress::kDone;
  }
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output&) override {
    meter_->OnWatermark(watermark, clock_->MonotonicMicros());
    return Progress::kDone;
  }

 private:
  class CountedLines final : public LineWriter {
   public:
    explicit CountedLines(bool by_partition) : LineWriter(TapLines(by_partition)) {}
    uint64_t Count(LineFormatter& formatter, const BatchBase& batch, Output& out) {
      bytes_ = 0;
      set_rejects(out);
      formatter.Format(batch, *this);
      FlushAll();
      return bytes_;
    }

   private:
    void TakeLines(const LineBlock&, Lines lines) override { bytes_ += lines.bytes.size(); }
    uint64_t bytes_ = 0;
  };

  uint64_t BytesOf(const BatchBase& batch) {
    uint64_t bytes = 0;
    for (size_t row = 0; row < batch.rows(); ++row) {
      json_.Clear();
      codec_->WriteJson(batch, row, json_);
      bytes += json_.text().size() + 1;
    }
    return bytes;
  }

  const std::unique_ptr<LineFormatter> formatter_;  // null: the codec
  CountedLines lines_;
  const std::shared_ptr<const RowCodec> codec_;
  const std::shared_ptr<RunMeter> meter_;
  Clock* clock_ = nullptr;
  JsonWriter json_;
};

}  // namespace

int ReadersOf(const JobGraph& graph, int parallelism) {
  const auto sources =
      std::count_if(graph.stages.begin(), graph.stages.end(),
                    [](const StageSpec& stage) { return stage.role == StageRole::kSource; });
  return static_cast<int>(sources) * parallelism;
}

BuiltJob MeasuredJob(BuiltJob version, std::shared_ptr<RunMeter> meter) {
  const size_t stages = version.stages.size();
  for (size_t s = 0; s < stages; ++s) {
    StageSpec& spec = version.graph.stages[s];
    StageCode& code = version.stages[s];
    code.reloadable.reset();
    if (spec.role == StageRole::kSource) {
      code.source = [make = std::move(code.source), meter] {
        return std::make_unique<MeasuredSource>(make(), meter);
      };
    } else if (spec.role == StageRole::kSink) {
      const std::shared_ptr<const RowCodec> codec = CodecInto(version, static_cast<int>(s));
      StageSpec end{.name = spec.name + kEnd, .kind = "blackhole", .role = StageRole::kSink};
      end.can_revoke = true;
      StageCode of_end;
      of_end.sink = [] { return std::make_unique<BlackholeSink>(); };
      EdgeSpec edge{.from = static_cast<int>(s), .to = static_cast<int>(version.stages.size())};
      edge.schema = codec->schema();

      StageSpec metered = TapSpec(spec);
      metered.kind = "meter";
      spec = std::move(metered);
      StageCode measured;
      measured.op = [lines = code.lines, codec, meter] {
        return std::make_unique<Meter>(lines, codec, meter);
      };
      code = std::move(measured);
      version.graph.stages.push_back(std::move(end));
      version.stages.push_back(std::move(of_end));
      version.graph.edges.push_back(std::move(edge));
      version.edges.push_back({codec, nullptr});
    }
  }
  return version;
}

Manifest MeasuredCheckpoint(const Manifest& manifest, const JobGraph& version) {
  Manifest measured = manifest;
  measured.resources = {};
  std::erase_if(measured.stages, [&](const StageState& state) {
    const int stage = version.FindStage(state.name);
    return stage < 0 || version.stages[stage].role == StageRole::kSink;
  });
  return measured;
}

uint64_t StateBytes(const Manifest& manifest) {
  uint64_t bytes = 0;
  for (const StateFile& file : manifest.Files()) bytes += file.bytes;
  for (const StageState& stage : manifest.stages) {
    for (const SubtaskState& subtask : stage.subtasks) {
      bytes += subtask.operator_state.inline_bytes.size() + subtask.keyed_state.inline_bytes.size();
    }
  }
  return bytes;
}

}  // namespace weir::shadow
