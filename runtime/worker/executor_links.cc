#include "runtime/worker/executor_links.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "runtime/exchange/remote_exchange.h"

namespace weir {

int ExecutorOf(const std::vector<runtime::ExecutorPlace>& executors, const JobGraph& graph,
               int stage, int subtask) {
  const std::vector<std::string> parts = graph.Parts();
  const auto found =
      std::find_if(executors.begin(), executors.end(), [&](const runtime::ExecutorPlace& place) {
        return parts[place.part()] == graph.stages[stage].part &&
               subtask >= static_cast<int>(place.first_subtask()) &&
               subtask < static_cast<int>(place.first_subtask() + place.subtasks());
      });
  WEIR_CHECK(found != executors.end());
  return static_cast<int>(found - executors.begin());
}

struct ExecutorLinks::Impl {
  explicit Impl(NetworkThread& network) : network(network) {}

  int PeerOf(int stage, int subtask) const {
    return ExecutorOf(places, job->graph, stage, subtask);
  }
  ChannelId IdOf(const ChannelKey& key) const {
    return (static_cast<ChannelId>(key.edge) * parallelism + key.sender) * parallelism +
           key.receiver;
  }
  // The first failure counts; one from before Connect() is told there.
  void Fail(const Status& status) {
    if (!failure.ok()) return;
    failure = status;
    if (lost) lost(failure);
  }

  NetworkThread& network;
  size_t executors = 1;
  std::unique_ptr<PeerMesh> mesh;
  std::unique_ptr<RemoteExchange> exchange;

  // Set by Prepare(), before anything on the network thread looks at it.
  const BuiltJob* job = nullptr;
  uint32_t parallelism = 1;
  std::vector<runtime::ExecutorPlace> places;

  // On the network thread.
  bool connected = false;                    // Connect() was called: channels stand
  bool ready = false;                        // the mesh is
  std::vector<std::pair<int, Frame>> early;  // frames that came before
  std::function<void(const Status&)> lost;
  Status failure;
};

ExecutorLinks::ExecutorLinks(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExecutorLinks::~ExecutorLinks() { Close(); }

StatusOr<std::unique_ptr<ExecutorLinks>> ExecutorLinks::Listen(
    NetworkThread& network, PeerMesh::Options mesh,
    std::function<void(const std::string& line)> log) {
  auto impl = std::make_unique<Impl>(network);
  impl->executors = static_cast<size_t>(mesh.executors);
  Impl* at = impl.get();  // outlives the mesh's callbacks: Close() ends them
  PeerMesh::Callbacks callbacks;
  callbacks.on_ready = [at] {
    at->ready = true;
    if (at->connected) at->exchange->Start();
  };
  callbacks.on_frame = [at](int peer, Frame frame) {
    if (at->connected) {
      at->exchange->OnFrame(peer, frame);
    } else {
      at->early.emplace_back(peer, std::move(frame));
    }
  };
  callbacks.on_lost = [at](int, const Status& status) { at->Fail(status); };
  callbacks.log = std::move(log);
  WEIR_ASSIGN_OR_RETURN(impl->mesh,
                        PeerMesh::Listen(network, std::move(mesh), std::move(callbacks)));
  return std::unique_ptr<ExecutorLinks>(new ExecutorLinks(std::move(impl)));
}

std::string ExecutorLinks::address() const { return impl_->mesh->address().ToString(); }

void ExecutorLinks::Prepare(const BuiltJob& job, const runtime::Deploy& deploy) {
  impl_->job = &job;
  impl_->parallelism = deploy.parallelism();
  impl_->places = {deploy.executors().begin(), deploy.executors().end()};
  Impl* at = impl_.get();
  RemoteExchange::Options options;
  options.send = [at](int peer, FrameKind kind, uint32_t channel, std::string payload) {
    at->mesh->Send(peer, kind, channel, std::move(payload));
  };
  options.post = [network = &impl_->network](std::function<void()> work) {
    network->Post(std::move(work));
  };
  options.on_failed = [at](const Status& status) { at->Fail(status); };
  impl_->network.RunAndWait(
      [&] { impl_->exchange = std::make_unique<RemoteExchange>(std::move(options)); });
}

std::shared_ptr<Channel> ExecutorLinks::Outgoing(const ChannelKey& key, size_t capacity_bytes,
                                                 std::function<void()> wake_sender) {
  return impl_->exchange->AddOutgoing(
      impl_->PeerOf(impl_->job->graph.edges[key.edge].to, key.receiver), impl_->IdOf(key),
      impl_->job->edges[key.edge].codec, capacity_bytes, std::move(wake_sender));
}

std::shared_ptr<Channel> ExecutorLinks::Incoming(const ChannelKey& key, size_t capacity_bytes,
                                                 std::function<void()> wake_receiver) {
  return impl_->exchange->AddIncoming(
      impl_->PeerOf(impl_->job->graph.edges[key.edge].from, key.sender), impl_->IdOf(key),
      impl_->job->edges[key.edge].codec, capacity_bytes, std::move(wake_receiver));
}

void ExecutorLinks::Connect(std::function<void(const Status&)> lost) {
  std::vector<Address> addresses;
  for (const runtime::ExecutorPlace& place : impl_->places) {
    StatusOr<Address> address = ParseAddress(place.address());
    if (!address.ok()) return lost(address.status());
    addresses.push_back(*std::move(address));
  }
  if (addresses.size() != impl_->executors) {
    return lost(
        absl::DataLossError(fmt::format("the attempt was started with {} executors, and {} "
                                        "places came",
                                        impl_->executors, addresses.size())));
  }
  impl_->network.RunAndWait([this, &lost] {
    impl_->lost = std::move(lost);
    if (!impl_->failure.ok()) impl_->lost(impl_->failure);
    impl_->connected = true;
    for (auto& [peer, frame] : impl_->early) impl_->exchange->OnFrame(peer, frame);
    impl_->early.clear();
    if (impl_->ready) impl_->exchange->Start();
  });
  impl_->mesh->Connect(std::move(addresses));
}

void ExecutorLinks::Close() {
  impl_->network.RunAndWait([this] {
    impl_->lost = nullptr;
    impl_->mesh.reset();
    impl_->exchange.reset();
  });
}

}  // namespace weir
