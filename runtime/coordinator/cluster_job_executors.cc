// ClusterJob: its executors, on workers.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/limits.h"
#include "runtime/coordinator/cluster_job.h"
#include "runtime/security/secret.h"

namespace weir {

std::vector<int> ClusterJob::PlaceExecutors(int parallelism) {
  // What is left of the attempt before has no use any more, and its slots are free.
  EndMembers();
  placed_ = cluster_.workers().Place(parallelism, static_cast<int>(parts_.size()));
  std::vector<int> shares;
  for (const WorkerTable::Share& share : placed_) shares.push_back(share.subtasks);
  if (placed_.empty()) return shares;
  members_.clear();
  AddMembers(placed_);
  return shares;
}

void ClusterJob::AddMembers(const std::vector<WorkerTable::Share>& shares) {
  for (const std::string& part : parts_) {
    for (const WorkerTable::Share& share : shares) {
      Member& member = members_.emplace_back();
      member.part = part;
      member.share = share;
      cluster_.workers().Take(share);
    }
  }
}

// As they were placed by a coordinator that was here before.
void ClusterJob::MakeMembers() {
  WEIR_CHECK(kept_.placement_size() == kept_.attempt().shares_size());
  std::vector<WorkerTable::Share> shares;
  for (int i = 0; i < kept_.placement_size(); ++i) {
    shares.push_back({kept_.placement(i), static_cast<int>(kept_.attempt().shares(i))});
  }
  AddMembers(shares);
}

runtime::ExecutorRef ClusterJob::RefOf(int executor) const {
  runtime::ExecutorRef ref;
  ref.set_job_id(id());
  ref.set_attempt(record_.attempt);
  ref.set_executor(executor);
  return ref;
}

void ClusterJob::StartExecutors(uint32_t attempt, const std::vector<int>& shares) {
  WEIR_CHECK(attempt == record_.attempt && shares.size() * parts_.size() == members_.size());
  last_log_tail_.clear();
  lost_worker_.clear();
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    member.deadline = Now() + limits::kExecutorStartMax;
    member.late = "did not connect in time";
    const WorkerInfo* worker = cluster_.workers().Find(member.share.worker);
    if (worker == nullptr) continue;  // told as lost by OnWorkerLost
    runtime::ToWorker message;
    runtime::StartExecutor& start = *message.mutable_start_executor();
    *start.mutable_executor() = RefOf(static_cast<int>(i));
    *start.mutable_resources() = kept_.resources();
    runtime::ExecutorStart& executor = *start.mutable_start();
    executor.set_secret(kept_.secret());
    executor.set_job_id(id());
    executor.set_attempt(attempt);
    executor.set_executor(i);
    executor.set_executors(members_.size());
    executor.set_part(member.part);
    executor.set_library_sha256(record_.identity.library_sha256);
    *executor.mutable_parameters() = kept_.parameters();
    executor.set_checkpoints(cluster_.checkpoints());
    executor.set_memory_bytes(worker->memory_bytes / worker->slots * member.share.subtasks);
    executor.set_host(worker->host);
    executor.set_coordinator_away_micros_max(limits::kCoordinatorAwayMax);
    cluster_.SendToWorker(member.share.worker, message);
  }
}

bool ClusterJob::OnHello(uint64_t session, const runtime::ExecutorHello& hello) {
  if (ended() || hello.attempt() != record_.attempt || hello.executor() >= members_.size() ||
      !SameSecret(hello.secret(), kept_.secret())) {
    return false;
  }
  Member& member = members_[hello.executor()];
  if (member.over || member.hello) return false;
  member.hello = true;
  member.session = session;
  member.address = hello.address();
  member.deadline = 0;
  std::vector<std::string> addresses;
  for (const Member& each : members_) {
    if (each.hello) addresses.push_back(each.address);
  }
  if (addresses.size() == members_.size()) {
    master_->OnExecutorsStarted(record_.attempt, addresses);
  }
  return true;
}

void ClusterJob::OnMessage(int executor, const runtime::ToCoordinator& message) {
  if (message.has_canceled() && message.attempt() == record_.attempt) {
    members_[executor].canceled = true;
  }
  master_->OnMessage(executor, message, Now());
}

void ClusterJob::OnClosed(int executor, uint64_t session, const Status& why) {
  Member& member = members_[executor];
  if (member.over || member.session != session) return;
  member.session = 0;
  if (member.canceled) return End(executor, {});
  // Its worker tells how it ended, if it has; if it says nothing, the connection is what is known.
  member.deadline = Now() + limits::kExecutorReportMax;
  member.late = fmt::format("was lost: {}", std::string(why.message()));
}

void ClusterJob::OnExecutorEnded(const runtime::ExecutorEnded& ended) {
  if (ended.executor().attempt() != record_.attempt ||
      ended.executor().executor() >= members_.size()) {
    return;
  }
  JobMaster::Loss loss;
  loss.crash = ended.crash();
  loss.by_itself = ended.by_itself();
  loss.why = absl::UnavailableError(
      loss.crash.empty() ? ended.how() : fmt::format("{}: {}", ended.how(), loss.crash));
  End(static_cast<int>(ended.executor().executor()), loss, ended.log_tail());
}

void ClusterJob::OnWorkerLost(const std::string& worker, const Status& why) {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].over || members_[i].share.worker != worker) continue;
    End(static_cast<int>(i),
        {.why = Annotate(why, fmt::format("worker {} is lost", worker)), .by_itself = true});
  }
}

void ClusterJob::OnWorkerJoined(const std::string& worker,
                                const std::vector<runtime::ExecutorRef>& running) {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].over || members_[i].share.worker != worker) continue;
    const bool there = std::any_of(running.begin(), running.end(), [&](const auto& ref) {
      return ref.job_id() == id() && ref.attempt() == record_.attempt && ref.executor() == i;
    });
    if (!there) {
      End(static_cast<int>(i),
          {.why = absl::UnavailableError(fmt::format("worker {} runs it no more", worker)),
           .by_itself = true});
    }
  }
}

void ClusterJob::EndOnWorker(int executor) {
  runtime::ToWorker message;
  *message.mutable_end_executor() = RefOf(executor);
  cluster_.SendToWorker(members_[executor].share.worker, message);
}

void ClusterJob::EndMembers() {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].over) continue;
    EndOnWorker(static_cast<int>(i));
    members_[i].canceled = true;
    End(static_cast<int>(i), {});
  }
}

void ClusterJob::End(int executor, JobMaster::Loss loss, std::string log_tail) {
  Member& member = members_[executor];
  if (std::exchange(member.over, true)) return;
  member.deadline = 0;
  if (member.session != 0) cluster_.CloseSession(std::exchange(member.session, 0));
  cluster_.workers().Release(member.share);
  if (member.canceled) return;
  loss.why = Annotate(loss.why, fmt::format("executor {}", executor));
  if (lost_worker_.empty() || loss.by_itself) {
    lost_worker_ = member.share.worker;
    last_log_tail_ = std::move(log_tail);
  }
  // Never inside a call of the master.
  loop_.Post([this, alive = alive_, attempt = record_.attempt, executor, loss] {
    if (*alive) master_->OnExecutorLost(attempt, executor, loss, Now());
  });
}

void ClusterJob::Send(int executor, const runtime::ToExecutor& message) {
  Member& member = members_[executor];
  if (member.over) return;
  if (member.session != 0) {
    cluster_.SendToExecutor(member.session, message);
    if (!message.has_cancel()) return;
    member.deadline = Now() + limits::kExecutorCancelMax;
    member.late = "did not end in time";
  } else if (message.has_cancel() && !member.hello) {
    // One that is lost is over when its worker has told how it ended.
    EndOnWorker(executor);
    End(executor, {.why = absl::CancelledError("not needed any more")});
  }
}

}  // namespace weir
