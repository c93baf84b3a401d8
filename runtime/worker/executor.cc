#include "runtime/worker/executor.h"

#include <fmt/format.h>


#include "core/process_memory.h"
#include "runtime/message_check.h"
#include "runtime/worker/executor_messages.h"
#include "runtime/worker/memory_plan.h"
#include "runtime/worker/notices.h"
#include "runtime/worker/stall_detector.h"
#include "runtime/worker/task_wiring.h"
#include "state/rocks_memory.h"

namespace weir {
namespace {

struct SinkHandles {
  std::string where;
  Sink* sink;
  std::vector<std::string> handles;
};

Status CommitAll(const std::vector<SinkHandles>& shares) {
  for (const auto& [where, sink, handles] : shares) {
    WEIR_RETURN_IF_ERROR(Annotate(sink->CommitAll(handles), where));
  }
  return absl::OkStatus();
}

}  // namespace

// Everything that ends with the attempt, in the order of its making.
struct Executor::Attempt {
  Attempt(Environment& real, std::function<bool()> help_io)
      : io(real.io, std::move(help_io)), env{real.clock, real.disk, io, real.random} {}

  uint32_t number = 0;
  std::string job_id;
  std::string local_dir;
  CountingIoPool io;
  Environment env;
  ExecutionPlan plan;
  MemoryPlan memory;
  std::unique_ptr<SnapshotReader> reader;
  std::unique_ptr<Notices> notices;
  std::unique_ptr<PeerLinks> links;  // null: there are no peers
  std::map<TaskId, std::unique_ptr<Task>> tasks;
  int part = 0;                              // of the plan's, that is here
  int first_subtask = 0;                     // of its subtasks that are here
  std::vector<std::unique_ptr<Slot>> slots;  // one for each of them
  std::unique_ptr<StallDetector> stalls;     // null: nobody looks
  // Handles that no completed checkpoint has committed yet, by sink; filled on the loop's thread.
  std::map<std::pair<TaskId, int>, std::vector<std::string>> handles;
  // By the sink's stage.
  std::map<int, Sink::Recovery> recoveries;

  Slot& slot_of(int subtask) { return *slots.at(subtask - first_subtask); }
  Slot& slot_of(TaskId task) { return slot_of(task.subtask); }
  template <class Fn>
  void ForEachSink(Fn fn) {
    for (auto& [id, task] : tasks) {
      for (auto& node : task->nodes()) {
        if (node->sink() != nullptr) fn(id, *node);
      }
    }
  }
};

Executor::Executor(const BuiltJob& job, CheckpointStore& store, Environment& env, EventQueue& loop,
                   Options options, std::function<void(const runtime::ToCoordinator&)> send)
    : job_(job),
      store_(store),
      env_(env),
      loop_(loop),
      options_(std::move(options)),
      send_(std::move(send)) {}

Executor::~Executor() {
  *alive_ = false;
  Cancel();
}

runtime::ToCoordinator Executor::Message() const { return MessageOf(attempt_->number); }

void Executor::SendFailure(const Status& status) {
  send_(TaskFailedMessage(attempt_->number, status));
}

void Executor::Post(std::function<void()> work) {
  loop_.Post([this, alive = alive_, number = attempt_->number, work = std::move(work)] {
    if (*alive && attempt_ != nullptr && attempt_->number == number) work();
  });
}

void Executor::RunBlocking(std::function<Status()> work, std::function<void(const Status&)> then) {
  attempt_->io.Submit([this, alive = alive_, number = attempt_->number, work = std::move(work),
                       then = std::move(then)] {
    Status status = work();
    loop_.Post([this, alive, number, then, status] {
      if (*alive && attempt_ != nullptr && attempt_->number == number) then(status);
    });
  });
}

void Executor::OnMessage(const runtime::ToExecutor& message) {
  using Kind = runtime::ToExecutor;
  if (Status status = CheckMessage(message, job_); !status.ok()) {
    return send_(
        TaskFailedMessage(message.attempt(), Annotate(status, "what the coordinator sent")));
  }
  if (message.message_case() == Kind::kDeploy) {
    if (attempt_ != nullptr) {
      return SendFailure(absl::DataLossError("the coordinator deployed an attempt over another"));
    }
    Status status = Deploy(message.attempt(), message.deploy());
    if (!status.ok()) SendFailure(status);
    return;
  }
  if (attempt_ == nullptr && message.has_cancel()) {  // before it was deployed
    return send_(CanceledMessage(message.attempt()));
  }
  if (attempt_ == nullptr || message.attempt() != attempt_->number) return;
  switch (message.message_case()) {
    case Kind::kRecoverSinks:
      return RecoverSinks(message.recover_sinks());
    case Kind::kStartInput:
      for (auto& [id, task] : attempt_->tasks) {
        attempt_->slot_of(id).Post([task = task.get()] { task->StartInput(); });
      }
      return;
    case Kind::kDrainSources:
      for (auto& [id, task] : attempt_->tasks) {
        attempt_->slot_of(id).Post([task = task.get()] { task->DrainSource(); });
      }
      return;
    case Kind::kTriggerCheckpoint:
      return TriggerCheckpoint(message.trigger_checkpoint());
    case Kind::kCheckpointComplete:
      return Commit(message.checkpoint_complete().checkpoint());
    case Kind::kFinishCommit:
      return FinishCommit(message.finish_commit());
    case Kind::kCancel:
      SendProcess();
      Cancel();
      return send_(CanceledMessage(message.attempt()));
    default:
      return;
  }
}

Status Executor::Deploy(uint32_t number, const runtime::Deploy& deploy) {
  WEIR_CHECK(attempt_ == nullptr);
  attempt_ = std::make_unique<Attempt>(env_, options_.help_io);
  attempt_->number = number;
  attempt_->job_id = deploy.job_id();
  if (deploy.graph_fingerprint() != job_.graph.Fingerprint()) {
    return absl::FailedPreconditionError(
        "the executor's library builds another graph than the coordinator planned with; a job's "
        "builder must depend on nothing but its parameters and resources");
  }
  attempt_->local_dir = fmt::format("{}/a{}", options_.work_dir, number);
  // What earlier attempts left in their folders is of no use to this one.
  WEIR_RETURN_IF_ERROR(env_.disk.RemoveTree(options_.work_dir));
  WEIR_RETURN_IF_ERROR(env_.disk.MakeDirectories(attempt_->local_dir));
  attempt_->plan = MakeExecutionPlan(job_.graph, static_cast<int>(deploy.parallelism()));
  const runtime::ExecutorPlace& place = deploy.executors().at(deploy.executor());
  attempt_->part = static_cast<int>(place.part());
  const std::string& part = attempt_->plan.parts[attempt_->part];
  WEIR_ASSIGN_OR_RETURN(attempt_->memory, PlanMemory(job_.graph, static_cast<int>(place.subtasks()),
                                                     options_.memory_bytes, part));
  SetBlockCacheBytes(attempt_->memory.block_cache_bytes);
  std::optional<Manifest> restored;
  if (deploy.restore_checkpoint() != 0) {
    WEIR_ASSIGN_OR_RETURN(restored, store_.LoadManifest(deploy.restore_checkpoint()));
    store_.Adopt(*restored);
    attempt_->reader = store_.MakeReader();
  }
  const ResourceVersion resources = ResourceVersion::Read(deploy.resources());
  StatusOr<std::shared_ptr<const ReloadedStages>> reloaded = Compile(resources);
  if (!reloaded.ok()) {
    // The library has read its own files; what it refuses here is what the checkpoint holds.
    return absl::OutOfRangeError(
        fmt::format("checkpoint {} does not fit: {}. Start with a library that takes it, or start "
                    "over with --fresh",
                    deploy.restore_checkpoint(), std::string(reloaded.status().message())));
  }
  attempt_->notices = std::make_unique<Notices>(
      env_.clock, options_.notice_lines_max, [this](const runtime::Notice& notice) {
        Post([this, notice] { send_(NoticeMessage(attempt_->number, notice)); });
      });
  if (options_.stall_max > 0) {
    attempt_->stalls =
        std::make_unique<StallDetector>(env_.clock, options_.stall_max, *attempt_->notices);
  }
  attempt_->first_subtask = static_cast<int>(place.first_subtask());
  for (uint32_t i = 0; i < place.subtasks(); ++i) {
    const int subtask = attempt_->first_subtask + static_cast<int>(i);
    attempt_->slots.push_back(options_.make_slot
                                  ? options_.make_slot(subtask)
                                  : std::make_unique<ThreadSlot>(subtask, env_.clock));
    if (attempt_->stalls != nullptr) attempt_->stalls->Watch(subtask, *attempt_->slots.back());
  }
  if (deploy.executors_size() > 1) {
    WEIR_CHECK(options_.make_links);
    attempt_->links = options_.make_links();
    attempt_->links->Prepare(job_, deploy);
  }
  MakeTasks(restored, *std::move(reloaded));
  if (attempt_->links != nullptr) {
    attempt_->links->Connect(
        [this](const Status& status) { Post([this, status] { SendFailure(status); }); });
  }
  return absl::OkStatus();
}

StatusOr<std::shared_ptr<const ReloadedStages>> Executor::Compile(
    const ResourceVersion& resources) const {
  auto stages = std::make_shared<ReloadedStages>();
  for (const auto& [name, bytes] : resources.contents) {
    const int stage = job_.graph.FindStage(name);
    WEIR_CHECK(stage >= 0 && job_.stages[stage].reloadable);
    StatusOr<std::shared_ptr<const void>> content = job_.stages[stage].reloadable->compile(bytes);
    if (!content.ok()) {
      return Annotate(content.status(),
                      fmt::format("version {} of the {} of stage '{}'", resources.version,
                                  job_.stages[stage].reloadable->resource, name));
    }
    (*stages)[stage] = {resources.version, *std::move(content)};
  }
  return stages;
}

void Executor::MakeTasks(const std::optional<Manifest>& restored,
                         std::shared_ptr<const ReloadedStages> reloaded) {
  Attempt& attempt = *attempt_;
  TaskWiring wiring;
  wiring.job = &job_;
  wiring.plan = &attempt.plan;
  wiring.part = attempt.part;
  wiring.first_subtask = attempt.first_subtask;
  wiring.subtasks = static_cast<int>(attempt.slots.size());
  wiring.remote = attempt.links.get();
  wiring.memory = &attempt.memory;
  wiring.listener = this;
  wiring.context.job_id = attempt.job_id;
  wiring.context.attempt = attempt.number;
  wiring.context.env = &attempt.env;
  wiring.notice = [notices = attempt.notices.get()](const auto& stage, int subtask, auto line) {
    notices->Say(stage, subtask, line);
  };
  wiring.local_dir = attempt.local_dir;
  wiring.restored = restored ? &*restored : nullptr;
  wiring.reader = attempt.reader.get();
  wiring.waker = [&attempt](int subtask) {
    return [slot = &attempt.slot_of(subtask)] { slot->Wake(); };
  };
  wiring.reloaded = std::move(reloaded);
  wiring.encode_edges = options_.encode_edges;
  wiring.heap_state = options_.heap_state;
  std::map<TaskId, WiredTask> wired_tasks = WireTasks(wiring);
  for (auto& [id, wired] : wired_tasks) {
    for (auto& [stage, handles] : wired.handles) attempt.handles[{id, stage}] = std::move(handles);
    attempt.recoveries.merge(wired.recoveries);
    auto task = std::make_unique<Task>(std::move(wired.setup));
    attempt.slot_of(id).Post([task = task.get(), slot = &attempt.slot_of(id)] {
      slot->AddTask(task);
      task->Open();
    });
    attempt.tasks[id] = std::move(task);
  }
}

void Executor::OnOpened(TaskId id) {
  Post([this, id] {
    struct Check {
      std::string where;
      Sink* sink;
      Sink::Recovery recovery;
    };
    std::vector<SinkHandles> shares;
    std::vector<Check> checks;
    for (auto& node : attempt_->tasks[id]->nodes()) {
      if (node->sink() != nullptr && id.subtask == 0) {
        checks.push_back({node->where(), node->sink(), attempt_->recoveries.at(node->stage())});
      }
      auto handles = attempt_->handles.find({id, node->stage()});
      if (node->sink() == nullptr || handles == attempt_->handles.end()) continue;
      shares.push_back({node->where(), node->sink(), std::move(handles->second)});
      attempt_->handles.erase(handles);
    }
    RunBlocking(
        [shares = std::move(shares), checks = std::move(checks)]() -> Status {
          WEIR_RETURN_IF_ERROR(CommitAll(shares));
          for (const auto& [where, sink, recovery] : checks) {
            WEIR_RETURN_IF_ERROR(Annotate(sink->CheckRecovery(recovery), where));
          }
          return absl::OkStatus();
        },
        [this, id](const Status& status) {
          if (!status.ok()) return SendFailure(status);
          runtime::ToCoordinator message = Message();
          message.mutable_task_opened()->mutable_task()->set_group(id.group);
          message.mutable_task_opened()->mutable_task()->set_subtask(id.subtask);
          send_(message);
        });
  });
}

void Executor::OnFinished(TaskId id) {
  Post([this, id] {
    runtime::ToCoordinator message = Message();
    message.mutable_task_finished()->mutable_task()->set_group(id.group);
    message.mutable_task_finished()->mutable_task()->set_subtask(id.subtask);
    send_(message);
  });
}

void Executor::OnFailed(TaskId, const Status& status) {
  Post([this, status] { SendFailure(status); });
}

void Executor::RecoverSinks(const runtime::RecoverSinks& recover) {
  struct Cleanup {
    std::string where;
    Sink* sink;
    Sink::Recovery recovery;
  };
  std::vector<Cleanup> sinks;
  bool matches = true;
  attempt_->ForEachSink([&](TaskId id, ChainNode& node) {
    if (id.subtask != 0) return;
    Cleanup& cleanup = sinks.emplace_back(
        Cleanup{node.where(), node.sink(), attempt_->recoveries.at(node.stage())});
    matches &= cleanup.recovery.restored == recover.restored();
    cleanup.recovery.revoke = recover.revoke() && node.spec().can_revoke;
  });
  if (!matches) {
    return SendFailure(absl::DataLossError(
        fmt::format("the coordinator recovers from checkpoint {}, which this executor did not "
                    "restore",
                    recover.restored())));
  }
  RunBlocking(
      [sinks = std::move(sinks)]() -> Status {
        for (const auto& [where, sink, recovery] : sinks) {
          WEIR_RETURN_IF_ERROR(Annotate(sink->Recover(recovery), where));
        }
        return absl::OkStatus();
      },
      [this](const Status& status) {
        if (!status.ok()) return SendFailure(status);
        runtime::ToCoordinator message = Message();
        message.mutable_sinks_recovered();
        send_(message);
      });
}

void Executor::TriggerCheckpoint(const runtime::TriggerCheckpoint& trigger) {
  const Barrier barrier{trigger.checkpoint(), static_cast<BarrierKind>(trigger.kind()),
                        trigger.resources_version()};
  if (!trigger.has_resources()) return AnnounceCheckpoint(barrier, nullptr);
  auto reloaded = std::make_shared<std::shared_ptr<const ReloadedStages>>();
  RunBlocking(
      [this, reloaded, resources = ResourceVersion::Read(trigger.resources())]() -> Status {
        WEIR_ASSIGN_OR_RETURN(*reloaded, Compile(resources));
        return absl::OkStatus();
      },
      [this, barrier, reloaded](const Status& status) {
        if (!status.ok()) return SendFailure(status);
        AnnounceCheckpoint(barrier, *reloaded);
      });
}

void Executor::AnnounceCheckpoint(const Barrier& barrier,
                                  std::shared_ptr<const ReloadedStages> reloaded) {
  std::shared_ptr<SnapshotWriter> writer = store_.MakeWriter(barrier.checkpoint);
  for (auto& [id, task] : attempt_->tasks) {
    attempt_->slot_of(id).Post([task = task.get(), barrier, writer, reloaded] {
      task->TriggerCheckpoint(barrier, writer, reloaded);
    });
  }
}

void Executor::OnSnapshot(TaskId id, CheckpointId checkpoint, StatusOr<TaskSnapshot> snapshot) {
  auto shared = std::make_shared<StatusOr<TaskSnapshot>>(std::move(snapshot));
  Post([this, id, checkpoint, shared] {
    if (!shared->ok()) {
      return SendFailure(Annotate(shared->status(), fmt::format("checkpoint {}", checkpoint)));
    }
    Acknowledge(id, checkpoint, **std::move(shared));
  });
}

void Executor::Acknowledge(TaskId id, CheckpointId checkpoint, TaskSnapshot snapshot) {
  for (StageSnapshot& stage : snapshot.stages) {
    if (stage.op.handles.empty()) continue;
    // A checkpoint that failed leaves its handles to the next one.
    std::vector<std::string>& handles = attempt_->handles[{id, stage.stage}];
    handles.insert(handles.end(), std::make_move_iterator(stage.op.handles.begin()),
                   std::make_move_iterator(stage.op.handles.end()));
    stage.op.handles = handles;
  }
  send_(CheckpointAckMessage(attempt_->number, id, checkpoint, std::move(snapshot)));
}

void Executor::Commit(CheckpointId checkpoint) {
  std::vector<SinkHandles> shares;
  auto committed = std::make_shared<runtime::ToCoordinator>(Message());
  committed->mutable_committed()->set_checkpoint(checkpoint);
  attempt_->ForEachSink([&](TaskId id, ChainNode& node) {
    auto handles = attempt_->handles.find({id, node.stage()});
    if (handles == attempt_->handles.end()) return;
    runtime::StageHandles& stage = *committed->mutable_committed()->add_stages();
    stage.set_stage(node.stage());
    for (const std::string& handle : handles->second) stage.add_handles(handle);
    shares.push_back({node.where(), node.sink(), std::move(handles->second)});
    attempt_->handles.erase(handles);
  });
  for (auto& [id, task] : attempt_->tasks) {
    attempt_->slot_of(id).Post(
        [task = task.get(), checkpoint] { task->OnCheckpointComplete(checkpoint); });
  }
  RunBlocking(
      [this, shares = std::move(shares), checkpoint]() -> Status {
        WEIR_RETURN_IF_ERROR(store_.Adopt(checkpoint));
        return CommitAll(shares);
      },
      [this, committed](const Status& status) {
        if (!status.ok()) return SendFailure(status);
        send_(*committed);
      });
}

// Subtask 0 of every sink learns what all subtasks have committed.
void Executor::FinishCommit(const runtime::FinishCommit& finish) {
  std::map<int, SinkHandles> done;
  attempt_->ForEachSink([&](TaskId id, ChainNode& node) {
    if (id.subtask == 0) done[node.stage()] = {node.where(), node.sink(), {}};
  });
  for (const runtime::StageHandles& stage : finish.stages()) {
    const auto sink = done.find(static_cast<int>(stage.stage()));
    if (sink == done.end()) {
      return SendFailure(absl::DataLossError("it was told handles of sinks that end elsewhere"));
    }
    std::vector<std::string>& handles = sink->second.handles;
    handles.insert(handles.end(), stage.handles().begin(), stage.handles().end());
  }
  const CheckpointId checkpoint = finish.checkpoint();
  RunBlocking(
      [done = std::move(done), checkpoint]() -> Status {
        for (const auto& [stage, sink] : done) {
          WEIR_RETURN_IF_ERROR(
              Annotate(sink.sink->Committed(checkpoint, sink.handles), sink.where));
        }
        return absl::OkStatus();
      },
      [this, checkpoint](const Status& status) {
        if (!status.ok()) return SendFailure(status);
        runtime::ToCoordinator message = Message();
        message.mutable_commit_finished()->set_checkpoint(checkpoint);
        send_(message);
      });
}

void Executor::Cancel() {
  if (attempt_ == nullptr) return;
  if (attempt_->stalls != nullptr) attempt_->stalls->Stop();
  for (auto& slot : attempt_->slots) slot->Join();
  // Wakes slots; holds channels that wake it.
  if (attempt_->links != nullptr) attempt_->links->Close();
  attempt_->io.WaitUntilIdle();
  // Tasks hold channels that wake slots; neither runs any more.
  attempt_->tasks.clear();
  std::unique_ptr<Attempt> ended = std::move(attempt_);
  (void)env_.disk.RemoveTree(ended->local_dir);  // what is left is removed by the next attempt
}

void Executor::SendProcess() {
  runtime::ToCoordinator message = Message();
  message.mutable_executor_progress()->set_resident_bytes_max(ResidentBytesMax());
  send_(message);
}

void Executor::SendProgress() {
  if (attempt_ == nullptr) return;
  SendProcess();
  for (auto& [id, task] : attempt_->tasks) {
    TaskProgressReport report = task->progress();
    for (auto& stage : report.stages) {
      if (attempt_->stalls == nullptr) break;
      const auto stalls = attempt_->stalls->Of(job_.graph.stages[stage.stage].name, id.subtask);
      stage.stalls = stalls.count;
      stage.stalled = stalls.held;
    }
    if (!report.stages.empty()) send_(TaskProgressMessage(attempt_->number, id, report));
  }
}

}  // namespace weir
