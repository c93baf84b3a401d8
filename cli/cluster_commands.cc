// The commands that ask a cluster about what runs on it, and tell it what to do with that.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "cli/cluster.h"
#include "cli/cluster_report.h"
#include "cli/commands.h"
#include "core/utf8.h"
#include "runtime/rest/rest_json.h"

namespace weir::cli {
namespace {

using google::protobuf::Message;

int Fail(const Status& status) { return PrintError(status), ExitCodeOfAnswer(status); }

int Print(const ClusterFlags& flags, const Message& answer, const std::string& text) {
  std::cout << (flags.output == "json" ? ToJson(answer) + "\n" : text);
  return FinishOutput(kDone);
}

// A command that is one question about the cluster.
template <class Answer>
int Show(const ClusterFlags& flags, const std::string& path, std::string (*text)(const Answer&)) {
  StatusOr<RestClient> client = OpenCluster(flags);
  if (!client.ok()) return PrintError(client.status()), kUsage;
  Answer answer;
  if (Status status = client->Get(path, answer); !status.ok()) return Fail(status);
  return Print(flags, answer, text(answer));
}

template <class Answer>
int ShowOfJob(const ClusterJobFlags& flags, const std::string& what,
              std::string (*text)(const Answer&)) {
  StatusOr<std::string> path = JobPath(flags.job);
  if (!path.ok()) return Fail(path.status());
  return Show<Answer>(flags.cluster, *path + what, text);
}

// A command that tells the cluster something about a job.
template <class Work>
int Tell(const ClusterJobFlags& flags, Work work) {
  StatusOr<std::string> path = JobPath(flags.job);
  if (!path.ok()) return Fail(path.status());
  StatusOr<RestClient> client = OpenCluster(flags.cluster);
  if (!client.ok()) return PrintError(client.status()), kUsage;
  return work(*client, *path);
}

std::string IdAndState(const rest::Job& job) {
  return fmt::format("{}  {}\n", job.id(), StateText(job));
}

// What a job that has ended can go on from, and how.
std::string HowToGoOn(const RestClient& client, const std::string& job_path,
                      const std::string& job) {
  rest::CheckpointList list;
  if (!client.Get(job_path + "/checkpoints", list).ok()) {
    return fmt::format("what it can go on from: weir checkpoints {}", job);
  }
  const auto& found = list.checkpoints();
  const auto newest = std::max_element(
      found.begin(), found.end(),
      [](const rest::Checkpoint& a, const rest::Checkpoint& b) { return a.id() < b.id(); });
  if (newest == found.end()) {
    return "it has no checkpoint to go on from: submit it again to begin anew";
  }
  const std::string folder = newest->path().substr(newest->path().rfind('/') + 1);
  return fmt::format(
      "nothing is lost: go on from its last checkpoint with weir submit LIB --from {}/{}", job,
      Printable(folder));
}

// A savepoint that was not to be had says nothing of the job: that is told here. `job` as it is
// now.
int FailWithoutSavepoint(const RestClient& client, const std::string& job_path, const Status& why,
                         const StatusOr<rest::Job>& job) {
  PrintError(why);
  if (!job.ok()) return PrintError(job.status()), ExitCodeOfAnswer(why);
  std::string text = fmt::format("{} is now {}", job->id(), StateText(*job));
  if (job->ended() && job->state() != "FINISHED") {
    text += "\n" + HowToGoOn(client, job_path, job->id());
  }
  return PrintError(Status(why.code(), text)), ExitCodeOfAnswer(why);
}

}  // namespace

int List(const ClusterFlags& flags) { return Show<rest::JobList>(flags, "/v1/jobs", JobListText); }

int Workers(const ClusterFlags& flags) {
  return Show<rest::WorkerList>(flags, "/v1/workers", WorkerListText);
}

int ShowStatus(const ClusterJobFlags& flags) { return ShowOfJob<rest::Job>(flags, "", JobText); }

int Checkpoints(const ClusterJobFlags& flags) {
  return ShowOfJob<rest::CheckpointList>(flags, "/checkpoints", CheckpointListText);
}

int Exceptions(const ClusterJobFlags& flags) {
  return ShowOfJob<rest::ExceptionList>(flags, "/exceptions", ExceptionListText);
}

int Cancel(const ClusterJobFlags& flags) {
  return Tell(flags, [&](const RestClient& client, const std::string& path) {
    rest::Job job;
    if (Status status = client.Delete(path, job); !status.ok()) return Fail(status);
    return Print(flags.cluster, job, IdAndState(job));
  });
}

int Rescale(const RescaleFlags& flags) {
  return Tell(flags.job, [&](const RestClient& client, const std::string& path) {
    rest::RescaleRequest request;
    request.set_parallelism(static_cast<uint32_t>(flags.parallelism));
    rest::Job job;
    if (Status status = client.Put(path + "/parallelism", request, job); !status.ok()) {
      return Fail(status);
    }
    return Print(
        flags.job.cluster, job,
        fmt::format("{}  {}  parallelism {}\n", job.id(), StateText(job), job.parallelism()));
  });
}

int Savepoint(const SavepointFlags& flags) {
  return Tell(flags.job, [&](const RestClient& client, const std::string& path) {
    rest::SavepointRequest request;
    request.set_to(flags.to);
    rest::SavepointOperation begun;
    if (Status status = client.Post(path + "/savepoints", request, begun); !status.ok()) {
      return Fail(status);
    }
    EndOnCtrlC();
    StatusOr<rest::SavepointOperation> done = AwaitSavepoint(client, path, begun.id());
    if (absl::IsAborted(done.status())) {
      rest::Job job;
      const Status seen = AskPatiently(client, [&] { return client.Get(path, job); });
      return FailWithoutSavepoint(client, path, done.status(),
                                  seen.ok() ? StatusOr<rest::Job>(job) : seen);
    }
    if (!done.ok()) return Fail(done.status());
    return Print(flags.job.cluster, *done, done->path() + "\n");
  });
}

int Stop(const StopFlags& flags) {
  return Tell(flags.job, [&](const RestClient& client, const std::string& path) {
    rest::StopRequest request;
    request.set_drain(flags.drain);
    rest::SavepointOperation begun;
    if (Status status = client.Post(path + "/stop", request, begun); !status.ok()) {
      return Fail(status);
    }
    EndOnCtrlC();
    StatusOr<rest::SavepointOperation> done = AwaitSavepoint(client, path, begun.id());
    if (absl::IsAborted(done.status())) {  // and the job ends all the same
      return FailWithoutSavepoint(client, path, done.status(),
                                  AwaitEnd(client, path, [](const rest::Job&) {}));
    }
    if (!done.ok()) return Fail(done.status());
    if (int code = Print(flags.job.cluster, *done, done->path() + "\n"); code != kDone) {
      return code;
    }
    // Whoever submits it again finds its slots free and its files let go.
    const StatusOr<rest::Job> job = AwaitEnd(client, path, [](const rest::Job&) {});
    return job.ok() ? static_cast<int>(kDone) : Fail(job.status());
  });
}

}  // namespace weir::cli
