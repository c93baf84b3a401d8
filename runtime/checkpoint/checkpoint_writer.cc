#include "runtime/checkpoint/checkpoint_writer.h"

#include <chrono>
#include <thread>
#include <utility>

namespace weir {
namespace {

constexpr auto kSettleInterval = std::chrono::milliseconds(200);

}  // namespace

CheckpointWriter::CheckpointWriter(CheckpointStore& store, Environment& env, EventLoop& loop)
    : store_(store), env_(env), loop_(loop), io_(env.io) {}

CheckpointWriter::~CheckpointWriter() { *alive_ = false; }

template <class Result>
void CheckpointWriter::Run(std::function<Result()> work, std::function<void(const Result&)> then) {
  io_.Submit([this, alive = alive_, work = std::move(work), then = std::move(then)] {
    loop_.Post([alive, then, result = work()] {
      if (*alive) then(result);
    });
  });
}

void CheckpointWriter::WriteManifest(Manifest manifest,
                                     std::function<void(CheckpointId, const Status&)> done) {
  auto shared = std::make_shared<Manifest>(std::move(manifest));
  Run<Status>(
      [this, shared] {
        shared->created = env_.clock.Now();
        Status outcome = store_.WriteManifest(*shared);
        while (absl::IsUnknown(outcome)) {
          // Nothing may be done with the job before the store has told whether the checkpoint is
          // complete.
          std::this_thread::sleep_for(kSettleInterval);
          outcome = store_.WriteManifest(*shared);
        }
        return outcome;
      },
      [shared, done = std::move(done)](const Status& outcome) {
        done(shared->checkpoint, outcome);
      });
}

void CheckpointWriter::CollectGarbage(const JobRecord& record, uint32_t attempts_over,
                                      std::function<void(const Status&)> done) {
  Run<Status>(
      [this, record, attempts_over] {
        return store_
            .CollectGarbage(
                [&](CheckpointId checkpoint) { return !record.IsSuperseded(checkpoint); },
                attempts_over)
            .status();
      },
      std::move(done));
}

void CheckpointWriter::KeepAsSavepoint(CheckpointId checkpoint,
                                       std::function<void(const StatusOr<std::string>&)> done) {
  Run<StatusOr<std::string>>([this, checkpoint] { return store_.KeepAsSavepoint(checkpoint); },
                             std::move(done));
}

}  // namespace weir
