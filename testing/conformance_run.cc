#include "testing/conformance_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/key_group.h"

namespace weir::testing {

StageRun::StageRun(const StageCase& stage, const std::vector<InputScript::Element>& input,
                   const Disturbance& disturbance, const std::string& local_dir, Findings& findings)
    : stage_(stage),
      input_(input),
      disturbance_(disturbance),
      local_dir_(local_dir),
      findings_(findings) {
  clock_.now = stage_.start;
  pool_.Hold(disturbance_.busy);
  sets_.resize(disturbance_.in_turns ? 2 : 1);
  if (const auto& reloadable = stage_.code.reloadable) {
    StatusOr<std::shared_ptr<const void>> content = reloadable->compile(reloadable->bytes);
    WEIR_CHECK(content.ok());
    resource_.content = *std::move(content);
  }
}

StageRun::~StageRun() { (void)RealEnvironment().disk.RemoveTree(local_dir_); }

StageRun::Instances StageRun::Make(int parallelism, const std::vector<StateSnapshot>& op,
                                   const std::vector<StateSnapshot>& keyed, RunOutput& output) {
  ++attempts_;
  Instances instances;
  for (int subtask = 0; subtask < parallelism; ++subtask) {
    InstanceOptions options;
    options.subtask = subtask;
    options.parallelism = parallelism;
    options.attempt = attempts_;
    options.hold_output = disturbance_.hold_output;
    options.busy = disturbance_.busy;
    options.op = RestoreFor(subtask, parallelism, op, snapshots_);
    options.keyed = RestoreFor(subtask, parallelism, keyed, snapshots_);
    instances.push_back(std::make_unique<StageInstance>(
        stage_, std::move(options), clock_, pool_,
        fmt::format("{}/a{}-{}", local_dir_, attempts_, subtask), findings_, output));
    instances.back()->Open();
    if (resource_.content) instances.back()->Reload(resource_);
  }
  return instances;
}

std::vector<RunOutput> StageRun::Go() {
  for (Set& set : sets_) {
    set.instances = Make(disturbance_.parallelism, {}, {}, set.output);
    Recover({.job_id = "conformance"}, set.instances);
  }
  const size_t elements = std::min(input_.size(), disturbance_.elements);
  for (Set& set : sets_) TakeChance(set, elements > 0 ? &input_[0] : nullptr);
  for (size_t i = 0; i < elements && !findings_.failed(); ++i) {
    for (Set& set : sets_) Give(input_[i], set.instances);
    if (input_[i].kind == InputScript::Element::kWatermark) {
      watermark_ = std::max(watermark_, input_[i].time);
    }
    for (Set& set : sets_) TakeChance(set, i + 1 < elements ? &input_[i + 1] : nullptr);
  }
  for (Set& set : sets_) End(set);
  std::vector<RunOutput> outputs;
  for (Set& set : sets_) outputs.push_back(std::move(set.output));
  return outputs;
}

void StageRun::End(Set& set) {
  if (findings_.failed()) return;
  for (auto& instance : set.instances) {
    instance->Watermark(kMaxTimestamp);
    instance->Drain(DrainReason::kEndOfInput);
  }
  watermark_ = kMaxTimestamp;
  ended_ = true;
  // A task that has finished stays in checkpoints, and a restore from one finds its input at its
  // end again.
  TakeChance(set, nullptr);
  Checkpoint(set, false, nullptr);
  for (auto& instance : set.instances) instance->Close();
  ended_ = false;
}

void StageRun::Give(const InputScript::Element& element, Instances& instances) {
  switch (element.kind) {
    case InputScript::Element::kRows:
      return GiveRows(element, instances);
    case InputScript::Element::kWatermark:
      return RaiseWatermark(std::max(element.time, watermark_), instances);
    case InputScript::Element::kAdvance:
      return Advance(element.time, instances);
    case InputScript::Element::kReload:
      return Reload(element.rows, instances);
  }
}

void StageRun::GiveRows(const InputScript::Element& element, Instances& instances) {
  StatusOr<BatchPtr> rows = element.codec->DecodeBatch(CopyToSlab(element.rows));
  WEIR_CHECK(rows.ok());
  BatchPtr rest = *std::move(rows);
  if (disturbance_.cut == Disturbance::Cut::kMerged) {
    // All rows that follow each other came with the first of them.
    const InputScript::Element* next = &element;
    while (next != &input_.back() && (next + 1)->kind == InputScript::Element::kRows &&
           (next + 1)->port == element.port && (next + 1)->codec == element.codec) {
      ++next;
      StatusOr<BatchPtr> more = element.codec->DecodeBatch(CopyToSlab(next->rows));
      WEIR_CHECK(more.ok());
      rest->Append(**more);
    }
    const InputScript::Element* before = &element == &input_.front() ? nullptr : &element - 1;
    if (before != nullptr && before->kind == InputScript::Element::kRows &&
        before->port == element.port && before->codec == element.codec) {
      return;
    }
  }
  const size_t step = disturbance_.cut == Disturbance::Cut::kSingle ? 1
                      : disturbance_.cut == Disturbance::Cut::kPairs
                          ? 2
                          : std::max<size_t>(1, rest->rows());
  while (!rest->empty()) {
    Deliver(element.port, rest->SplitFront(std::min(step, rest->rows())), instances);
  }
}

void StageRun::Deliver(int port, BatchPtr piece, Instances& instances) {
  const auto edge = stage_.input_edges.find(port);
  const bool by_key = edge != stage_.input_edges.end() && edge->second.hash_keys != nullptr;
  if (by_key && (stage_.keyed_state || instances.size() > 1)) edge->second.hash_keys(*piece);
  std::vector<BatchPtr> dealt(instances.size());
  if (instances.size() == 1) {
    dealt[0] = std::move(piece);
  } else {
    std::vector<uint16_t> targets;
    for (size_t i = 0; i < piece->rows(); ++i) {
      const int subtask =
          by_key ? SubtaskOf(KeyGroupOf(piece->key_hashes()[i]), static_cast<int>(instances.size()))
                 : static_cast<int>(dealt_++ % instances.size());
      targets.push_back(static_cast<uint16_t>(subtask));
    }
    piece->Scatter(targets, dealt);
  }
  for (size_t i = 0; i < instances.size(); ++i) {
    if (dealt[i] == nullptr) continue;
    if (disturbance_.empty_batches) instances[i]->Process(port, dealt[i]->NewEmpty());
    instances[i]->Process(port, std::move(dealt[i]));
  }
}

void StageRun::RaiseWatermark(Timestamp time, Instances& instances) {
  // The first one has nothing to rise from.
  const Timestamp from = watermark_ == kMinTimestamp ? time - Seconds(10) : watermark_;
  const int steps = time <= from ? 1 : disturbance_.time_steps;
  for (int step = 1; step <= steps; ++step) {
    const Timestamp at = step == steps ? time : from + (time - from) / steps * step;
    for (auto& instance : instances) instance->Watermark(at);
  }
}

void StageRun::Advance(Duration duration, Instances& instances) {
  // In turns, each set of instances sees the same time.
  const bool last_set = &instances == &sets_.back().instances;
  const int64_t start = clock_.now;
  const int64_t end = start + duration;
  for (int step = 1; step <= disturbance_.time_steps; ++step) {
    const int64_t until =
        step == disturbance_.time_steps ? end : start + duration / disturbance_.time_steps * step;
    while (!findings_.failed()) {
      int64_t next = until;
      for (auto& instance : instances) {
        next = std::min(next, instance->next_timer().value_or(until));
      }
      clock_.now = std::max<int64_t>(clock_.now, next);
      for (auto& instance : instances) instance->FireTimers();
      if (next >= until) break;
    }
  }
  // An instance that gave up waiting may have moved the clock further.
  latest_ = std::max<int64_t>(latest_, clock_.now);
  clock_.now = last_set ? latest_ : start;
}

// At a barrier, as all instances get it.
void StageRun::Reload(std::string_view content, Instances& instances) {
  WEIR_CHECK(stage_.code.reloadable);
  StatusOr<std::shared_ptr<const void>> compiled = stage_.code.reloadable->compile(content);
  if (!compiled.ok()) return findings_.Failed("compile(): " + compiled.status().ToString());
  resource_ = {++checkpoints_, *std::move(compiled)};
  for (auto& instance : instances) instance->Drain(DrainReason::kBarrier);
  for (auto& instance : instances) instance->Reload(resource_);
}

void StageRun::TakeChance(Set& set, const InputScript::Element* next) {
  for (int i = 0; i < disturbance_.checkpoints; ++i) Checkpoint(set, false, nullptr);
  if (!disturbance_.restore_to.empty()) Checkpoint(set, true, next);
}

void StageRun::Checkpoint(Set& set, bool restore, const InputScript::Element* next) {
  if (findings_.failed()) return;
  const CheckpointId checkpoint = ++checkpoints_;
  struct Piece {
    std::unique_ptr<Frozen> op;
    std::unique_ptr<Frozen> keyed;
  };
  std::vector<Piece> pieces;
  for (auto& instance : set.instances) instance->Drain(DrainReason::kBarrier);
  const bool last = ended_ && !restore;
  for (auto& instance : set.instances) {
    Piece& piece = pieces.emplace_back();
    if (last && instance->sink() != nullptr) instance->sink()->EndPieces();
    piece.op = instance->FreezeOperator(checkpoint);
    piece.keyed = instance->FreezeKeyed(checkpoint);
  }
  if (disturbance_.write_late && restore && next != nullptr && !ended_) {
    // What comes of this is lost with the instances.
    const int64_t now = clock_.now;
    const Reloaded resource = resource_;
    for (auto& instance : set.instances) instance->DiscardOutput();
    Give(*next, set.instances);
    clock_.now = now;
    resource_ = resource;
  }
  std::vector<StateSnapshot> op, keyed;
  Sink::Recovery recovery{.job_id = "conformance", .restored = checkpoint};
  const std::vector<std::string>& handles = recovery.handles;
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (auto [frozen, snapshots] : {std::pair(&pieces[i].op, &op), {&pieces[i].keyed, &keyed}}) {
      StatusOr<StateSnapshot> written = set.instances[i]->Write(std::move(*frozen), snapshots_);
      if (!written.ok()) return findings_.Failed("Write(): " + written.status().ToString());
      std::ranges::copy(written->handles, std::back_inserter(recovery.handles));
      std::ranges::copy(written->open_handles, std::back_inserter(recovery.open_handles));
      snapshots->push_back(*std::move(written));
    }
    findings_.CheckDescribed(set.instances[i]->description(), op.back(), keyed.back());
  }
  if (!restore || disturbance_.repeat_complete) {
    for (int i = 0; i < (disturbance_.repeat_complete ? 2 : 1); ++i) {
      Commit(handles, set.instances);
      for (auto& instance : set.instances) instance->OnCheckpointComplete(checkpoint);
      Committed(checkpoint, handles, set.instances);
    }
  }
  if (!restore || findings_.failed()) return;
  for (auto& instance : set.instances) instance->Close();
  const int parallelism = disturbance_.restore_to[chances_++ % disturbance_.restore_to.size()];
  set.instances = Make(parallelism, op, keyed, set.output);
  ++findings_.report().restores;
  Commit(handles, set.instances);
  Recover(recovery, set.instances);
  if (findings_.failed()) return;
  for (auto& instance : set.instances) {
    if (disturbance_.repeat_complete) instance->OnCheckpointComplete(checkpoint);
    // The sources know their watermark from their positions.
    if (watermark_ != kMinTimestamp) instance->Watermark(watermark_);
    if (ended_) instance->Drain(DrainReason::kEndOfInput);
  }
}

void StageRun::Commit(const std::vector<std::string>& handles, Instances& instances) {
  if (handles.empty() || findings_.failed()) return;
  std::vector<std::vector<std::string>> shares(instances.size());
  for (size_t i = 0; i < handles.size(); ++i) shares[i % shares.size()].push_back(handles[i]);
  for (size_t i = 0; i < shares.size(); ++i) {
    const Status committed = instances[i]->sink()->CommitAll(shares[i]);
    if (!committed.ok()) return findings_.Failed("Commit(): " + committed.ToString());
  }
}

void StageRun::Committed(CheckpointId checkpoint, const std::vector<std::string>& handles,
                         Instances& instances) {
  Sink* sink = instances[0]->sink();
  if (sink == nullptr || findings_.failed()) return;
  const Status told = sink->Committed(checkpoint, handles);
  if (!told.ok()) findings_.Failed("Committed(): " + told.ToString());
}

void StageRun::Recover(const Sink::Recovery& recovery, Instances& instances) {
  Sink* sink = instances[0]->sink();
  if (sink == nullptr || findings_.failed()) return;
  Status status = sink->CheckRecovery(recovery);
  if (!status.ok()) return findings_.Failed("CheckRecovery(): " + status.ToString());
  status = sink->Recover(recovery);
  if (!status.ok()) findings_.Failed("Recover(): " + status.ToString());
}

}  // namespace weir::testing
