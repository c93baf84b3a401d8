#include "runtime/worker/task.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/crash_site.h"
#include "core/limits.h"

namespace weir {
Task::Task(Setup setup) : setup_(std::move(setup)) {
  const JobGraph& graph = setup_.job->graph;
  const TaskGroup& group = setup_.plan->groups[setup_.id.group];
  std::map<int, size_t> node_of;  // by stage
  for (int stage : group.stages) {
    ChainNode::Setup node{.stage = stage,
                          .job = setup_.job,
                          .encode_edges = setup_.encode_edges,
                          .heap_state = setup_.heap_state,
                          .context = setup_.context,
                          .notice = setup_.notice};
    node.context.subtask = setup_.id.subtask;
    node.context.parallelism = setup_.plan->parallelism;
    node.context.memory_bytes = setup_.memory->instance_bytes[stage];
    node.context.key_groups = KeyGroupsOf(setup_.id.subtask, setup_.plan->parallelism);
    node.context.local_dir =
        fmt::format("{}/{}-{}", setup_.local_dir, graph.stages[stage].name, setup_.id.subtask);
    node.restore = std::move(setup_.restore[stage]);
    node.keyed_restore = std::move(setup_.keyed_restore[stage]);
    node_of[stage] = nodes_.size();
    nodes_.push_back(std::make_unique<ChainNode>(std::move(node)));
  }
  upstream_.resize(nodes_.size());
  for (int e : group.inner_edges) {
    const EdgeSpec& edge = graph.edges[e];
    ChainNode* to = nodes_[node_of[edge.to]].get();
    nodes_[node_of[edge.from]]->targets().push_back({edge.port, e, edge.input_port, to, nullptr});
    upstream_[node_of[edge.to]].push_back(node_of[edge.from]);
  }
  for (Output& output : setup_.outputs) {
    const EdgeSpec& edge = graph.edges[output.edge];
    writers_.push_back(std::make_unique<ExchangeWriter>(
        ExchangeWriter::Options{&edge, &setup_.job->edges[output.edge], std::move(output.channels),
                                setup_.encode_edges, setup_.coalesce_delay}));
    const size_t node = node_of[edge.from];
    writer_node_.push_back(node);
    nodes_[node]->targets().push_back(
        {edge.port, output.edge, edge.input_port, nullptr, writers_.back().get()});
  }
  if (nodes_[0]->source() != nullptr) return;
  // What flows in at the gate flows through the whole chain.
  std::optional<Duration> drift_max;
  for (const auto& node : nodes_) {
    const std::optional<Duration> own = node->op()->watermark_drift_max();
    if (own) drift_max = std::min(*own, drift_max.value_or(*own));
  }
  gate_ = std::make_unique<InputGate>(std::move(setup_.inputs), drift_max);
}

Task::~Task() {
  for (auto& node : nodes_) node->Close();
}

void Task::Open() {
  for (auto& node : nodes_) {
    Status status = setup_.context.env->disk.MakeDirectories(
        fmt::format("{}/{}-{}", setup_.local_dir, node->spec().name, setup_.id.subtask));
    if (status.ok()) status = node->Open();
    if (!status.ok()) return Fail(status);
  }
  if (Status status = Reload(setup_.reloaded); !status.ok()) return Fail(status);
  phase_ = Phase::kOpen;
  PublishProgress(0);  // what is told of the first call, should it never end
  setup_.listener->OnOpened(setup_.id);
}

void Task::StartInput() {
  if (phase_ == Phase::kOpen) phase_ = Phase::kRunning;
}

void Task::DrainSource() { drain_ = true; }

void Task::TriggerCheckpoint(Barrier barrier, std::shared_ptr<SnapshotWriter> writer,
                             std::shared_ptr<const ReloadedStages> reloaded) {
  announced_ = barrier;
  announced_micros_ = setup_.context.env->clock.MonotonicMicros();
  announced_bytes_ = gate_ ? gate_->taken_bytes() : 0;
  snapshot_writer_ = std::move(writer);
  announced_reload_ = std::move(reloaded);
  if (!gate_) requested_barrier_ = barrier;
}

Status Task::Reload(std::shared_ptr<const ReloadedStages> reloaded) {
  if (reloaded == nullptr) return absl::OkStatus();
  for (auto& node : nodes_) {
    const auto found = reloaded->find(node->stage());
    if (found != reloaded->end()) WEIR_RETURN_IF_ERROR(node->Reload(found->second));
  }
  return absl::OkStatus();
}

void Task::OnCheckpointComplete(CheckpointId checkpoint) {
  for (auto& node : nodes_) {
    if (node->op() == nullptr) continue;
    const CrashScope here(node->spec().name.c_str(), setup_.id.subtask, /*brief=*/true);
    node->op()->OnCheckpointComplete(checkpoint);
  }
}

bool Task::Step() {
  if (phase_ != Phase::kRunning && phase_ != Phase::kFinished) return false;
  Clock& clock = setup_.context.env->clock;
  const int64_t start = clock.MonotonicMicros();
  int64_t now = start;
  bool worked = false;
  SendDue(now);
  do {
    StatusOr<Taken> taken = StepOnce(now);
    if (!taken.ok()) {
      Fail(taken.status());
      return false;
    }
    if (*taken == Taken::kNothing) break;
    worked = true;
    now = clock.MonotonicMicros();
  } while (now - start < setup_.step_max);
  SendDue(now);
  if (worked) busy_micros_ += now - start;
  if (Congested()) {
    if (congested_since_ == 0) congested_since_ = now;
  } else if (congested_since_ != 0) {
    backpressured_micros_ += now - std::exchange(congested_since_, 0);
  }
  if (now - published_ >= limits::kProgressInterval) PublishProgress(now);
  return worked;
}

std::optional<int64_t> Task::next_wake() const {
  if (phase_ != Phase::kRunning && phase_ != Phase::kFinished) return std::nullopt;
  const int64_t report = published_ + limits::kProgressInterval;
  return std::min(report, next_due().value_or(report));
}

std::optional<int64_t> Task::next_due() const {
  if (phase_ != Phase::kRunning && phase_ != Phase::kFinished) return std::nullopt;
  std::optional<int64_t> next;
  auto consider = [&](int64_t time) { next = std::min(next.value_or(time), time); };
  for (const auto& writer : writers_) {
    // A writer without credit is woken by the credit.
    if (writer->flush_due() && !writer->congested()) consider(*writer->flush_due());
  }
  for (const auto& node : nodes_) {
    if (auto wake_up = node->wake_up()) consider(*wake_up);
  }
  // A task that waits for credit or for an operator is woken by them; until then it takes nothing.
  const bool stuck = Congested() || std::any_of(nodes_.begin(), nodes_.end(),
                                                [](const auto& node) { return node->waiting(); });
  if (stuck) return next;
  if (!gate_ && !input_ended_ && !stopped_) {
    const int64_t poll = drain_ ? 0 : next_poll_;
    if (poll != kMaxTimestamp) consider(poll);
  }
  Clock& clock = setup_.context.env->clock;
  for (const auto& node : nodes_) {
    if (auto timer = node->timers().next_delay()) consider(*timer);
    // The wall clock may jump meanwhile: progress, above, bounds how long that goes unnoticed.
    if (auto timer = node->timers().next_processing(); timer && !input_ended_) {
      consider(clock.MonotonicMicros() + std::max<int64_t>(0, *timer - clock.Now()));
    }
  }
  return next;
}

bool Task::Congested() const {
  return std::any_of(writers_.begin(), writers_.end(),
                     [](const auto& w) { return w->congested(); });
}

void Task::SendDue(int64_t now) {
  for (auto& writer : writers_) writer->SendDue(now);
}

bool Task::FlushOutputs() {
  bool all = true;
  for (auto& writer : writers_) all &= writer->Flush();
  return all;
}

StatusOr<Task::Taken> Task::StepOnce(int64_t now) {
  if (Congested()) {
    SendDue(now);
    if (Congested()) return Taken::kNothing;
  }
  bool waiting = false;
  for (size_t i = nodes_.size(); i-- > 0;) {
    if (nodes_[i]->runnable(now)) {
      WEIR_RETURN_IF_ERROR(nodes_[i]->RunOnce(now));
      PropagateWatermarks(now);
      return Taken::kSomething;
    }
    waiting |= nodes_[i]->waiting();
  }
  if (waiting) return Taken::kNothing;
  // Every operator is quiet and every inbox empty.
  if (!barrier_ && requested_barrier_) {
    barrier_ = std::exchange(requested_barrier_, std::nullopt);
    arrived_micros_ = aligned_micros_ = now;
  }
  if (barrier_) return AdvanceBarrier(now);
  if (ending_) return AdvanceEnd(now);
  WEIR_ASSIGN_OR_RETURN(Taken fired, FireTimers(now));
  if (fired == Taken::kSomething) return fired;
  return TakeInput(now);
}

StatusOr<Task::Taken> Task::TakeInput(int64_t now) {
  ChainNode& head = *nodes_[0];
  if (!gate_) {
    if (input_ended_ || stopped_) return Taken::kNothing;
    if (drain_) {
      EndInput();
      PropagateWatermarks(now);
      return Taken::kSomething;
    }
    if (now < next_poll_ && !head.woken()) return Taken::kNothing;
    WEIR_ASSIGN_OR_RETURN(PollResult polled, head.Poll(now));
    next_poll_ = polled.kind == PollResult::kIdle ? polled.next_poll : 0;
    if (polled.kind == PollResult::kFinished) {
      EndInput();
    } else {
      head.set_input_watermark({head.source()->watermark(), head.source()->idle()});
    }
    PropagateWatermarks(now);
    return polled.kind == PollResult::kIdle ? Taken::kNothing : Taken::kSomething;
  }
  WEIR_ASSIGN_OR_RETURN(std::optional<InputGate::Event> event, gate_->Next(now));
  if (!event) return Taken::kNothing;
  if (auto* rows = std::get_if<InputGate::Rows>(&*event)) {
    head.Push(rows->input_port, std::move(rows->batch));
  } else if (auto* watermark = std::get_if<Watermark>(&*event)) {
    head.set_input_watermark(*watermark);
  } else if (auto* barrier = std::get_if<Barrier>(&*event)) {
    barrier_ = *barrier;
    arrived_micros_ = gate_->alignment_began();
    aligned_micros_ = now;
  } else {
    EndInput();
  }
  return Taken::kSomething;
}

void Task::EndInput() {
  input_ended_ = true;
  ending_ = true;
  nodes_[0]->set_input_watermark({kMaxTimestamp, false});
}

StatusOr<Task::Taken> Task::FireTimers(int64_t now) {
  // Whoever reads what this task puts out was told that nothing comes any more.
  const Timestamp wall = input_ended_ ? kMinTimestamp : setup_.context.env->clock.Now();
  for (size_t i = nodes_.size(); i-- > 0;) {
    bool fired = false;
    WEIR_RETURN_IF_ERROR(nodes_[i]->FireTimer(wall, fired, now));
    if (!fired) continue;
    PropagateWatermarks(now);
    return Taken::kSomething;
  }
  return Taken::kNothing;
}

// Called when every operator is quiet: drains the next one, or, when all are drained, freezes them
// and sends the barrier on.
StatusOr<Task::Taken> Task::AdvanceBarrier(int64_t now) {
  if (barrier_cursor_ < nodes_.size()) {
    WEIR_RETURN_IF_ERROR(nodes_[barrier_cursor_++]->StartDrain(DrainReason::kBarrier, now));
    PropagateWatermarks(now);
    return Taken::kSomething;
  }
  // A barrier may overtake the announcement of its checkpoint, which comes another way.
  if (announced_.checkpoint != barrier_->checkpoint || !FlushOutputs()) return Taken::kNothing;
  WEIR_CHECK(announced_ == *barrier_);
  FreezeAll(now);
  // No row is in flight inside the task: all that come later are handled by the new version.
  WEIR_RETURN_IF_ERROR(Reload(std::exchange(announced_reload_, nullptr)));
  for (auto& writer : writers_) writer->SendControl(*barrier_);
  if (!gate_ && barrier_->kind == BarrierKind::kStop) stopped_ = true;
  barrier_.reset();
  barrier_cursor_ = 0;
  return Taken::kSomething;
}

StatusOr<Task::Taken> Task::AdvanceEnd(int64_t now) {
  if (end_cursor_ < nodes_.size()) {
    WEIR_RETURN_IF_ERROR(nodes_[end_cursor_++]->StartDrain(DrainReason::kEndOfInput, now));
    PropagateWatermarks(now);
    return Taken::kSomething;
  }
  if (!FlushOutputs()) return Taken::kNothing;
  for (auto& writer : writers_) writer->SendControl(EndOfInput{});
  ending_ = false;
  phase_ = Phase::kFinished;
  PublishProgress(now);
  setup_.listener->OnFinished(setup_.id);
  return Taken::kSomething;
}

void Task::PropagateWatermarks(int64_t now) {
  for (size_t i = 1; i < nodes_.size(); ++i) {
    Timestamp least = kMaxTimestamp;
    bool any_active = false;
    for (size_t from : upstream_[i]) {
      const Watermark watermark = nodes_[from]->output_watermark();
      if (watermark.idle) continue;
      any_active = true;
      least = std::min(least, watermark.time);
    }
    const Timestamp before = nodes_[i]->input_watermark().time;
    nodes_[i]->set_input_watermark({any_active ? std::max(before, least) : before, !any_active});
  }
  for (size_t w = 0; w < writers_.size(); ++w) {
    Watermark watermark = nodes_[writer_node_[w]]->output_watermark();
    watermark.time = std::max(watermark.time, writers_[w]->watermark().time);
    writers_[w]->SetWatermark(watermark, now);
  }
}

void Task::FreezeAll(int64_t now) {
  struct Piece {
    int stage;
    std::string where;
    StageCounters counters;
    std::unique_ptr<Frozen> op;
    std::unique_ptr<Frozen> keyed;
  };
  auto pieces = std::make_shared<std::vector<Piece>>();
  const CheckpointId checkpoint = barrier_->checkpoint;
  for (auto& node : nodes_) {
    Piece& piece = pieces->emplace_back(Piece{node->stage(), node->where(), node->counters()});
    const CrashScope here(node->spec().name.c_str(), setup_.id.subtask, /*brief=*/true);
    if (node->sink() != nullptr && barrier_->kind != BarrierKind::kCheckpoint) {
      node->sink()->EndPieces();
    }
    piece.op = node->source() ? node->source()->Freeze(checkpoint) : node->op()->Freeze(checkpoint);
    if (node->keyed() != nullptr) piece.keyed = node->keyed()->Freeze(checkpoint);
  }
  // A barrier may have come before its announcement did.
  BarrierWay way{.arrival = std::max<Duration>(0, arrived_micros_ - announced_micros_),
                 .alignment = aligned_micros_ - arrived_micros_,
                 .drain = now - aligned_micros_};
  if (gate_) way.bytes = gate_->taken_bytes() - announced_bytes_;
  setup_.context.env->io.Submit([pieces, checkpoint, way, now, id = setup_.id,
                                 listener = setup_.listener, clock = &setup_.context.env->clock,
                                 writer = std::move(snapshot_writer_)]() mutable {
    std::vector<StageSnapshot> stages;
    for (Piece& piece : *pieces) {
      StageSnapshot& stage = stages.emplace_back();
      stage.stage = piece.stage;
      stage.counters = piece.counters;
      auto write = [&](std::unique_ptr<Frozen>& frozen, StateSnapshot& snapshot) -> Status {
        if (frozen == nullptr) return absl::OkStatus();
        StatusOr<StateSnapshot> written = frozen->Write(*writer);
        frozen.reset();
        if (!written.ok()) return Annotate(written.status(), piece.where);
        snapshot = *std::move(written);
        return absl::OkStatus();
      };
      Status status = write(piece.op, stage.op);
      if (status.ok()) status = write(piece.keyed, stage.keyed);
      if (!status.ok()) return listener->OnSnapshot(id, checkpoint, status);
    }
    way.write = clock->MonotonicMicros() - now;
    listener->OnSnapshot(id, checkpoint, TaskSnapshot{std::move(stages), way});
  });
}

void Task::Fail(const Status& status) {
  phase_ = Phase::kFailed;
  setup_.listener->OnFailed(setup_.id, status);
}

void Task::PublishProgress(int64_t now) {
  published_ = now;
  TaskProgressReport report;
  for (const auto& node : nodes_) {
    auto& stage = report.stages.emplace_back();
    stage.stage = node->stage();
    stage.counters = node->counters();
    stage.watermark = node->input_watermark().time;
    stage.busy_micros = node->busy_micros();
    if (node->keyed() != nullptr) stage.state_bytes = node->keyed()->bytes();
    if (node->source() != nullptr) stage.source = node->source()->progress();
  }
  report.busy_micros = busy_micros_;
  // What lasts is told while it does.
  report.backpressured_micros =
      backpressured_micros_ + (congested_since_ == 0 ? 0 : now - congested_since_);
  if (gate_) {
    report.queued_bytes = gate_->queued_bytes();
    report.queue_capacity_bytes = gate_->capacity_bytes();
  }
  std::lock_guard lock(progress_mutex_);
  progress_ = std::move(report);
}

TaskProgressReport Task::progress() const {
  std::lock_guard lock(progress_mutex_);
  return progress_;
}

}  // namespace weir
