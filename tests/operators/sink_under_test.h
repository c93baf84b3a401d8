// One instance of a sink and what a runtime would do for it, by hand.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/environment.h"
#include "operators/sink.h"
#include "testing/recording_output.h"

namespace weir::testing {

class NoWriter final : public SnapshotWriter {
 public:
  StatusOr<StateFile> AddFile(const std::string&, std::string) override {
    return absl::UnimplementedError("a sink puts no files into the checkpoint store");
  }
  StatusOr<StateFile> AddBytes(std::string_view, std::string) override {
    return absl::UnimplementedError("a sink puts no bytes into the checkpoint store");
  }
};

struct SinkPlace {
  std::string job_id = "job-1";
  std::string stage = "sink";
  uint32_t attempt = 1;
  int subtask = 0;
};

template <class S>
class SinkUnderTest {
 public:
  template <class... Arguments>
  SinkUnderTest(Environment& env, const SinkPlace& place, Arguments&&... arguments)
      : sink_(std::forward<Arguments>(arguments)...) {
    OperatorContext context;
    context.job_id = place.job_id;
    context.stage = place.stage;
    context.attempt = place.attempt;
    context.subtask = place.subtask;
    context.env = &env;
    context.wake = [state = wakes_] {
      std::lock_guard lock(state->mutex);
      ++state->count;
      state->changed.notify_all();
    };
    opened_ = sink_.Open(context);
  }

  S& operator*() { return sink_; }
  S* operator->() { return &sink_; }
  const Status& opened() const { return opened_; }
  RecordingOutput& out() { return out_; }

  // Waits as long as the sink is blocked.
  Status Write(BatchPtr batch) { return WhenDone(sink_.Write(std::move(batch), out_)); }
  Status Drain() { return WhenDone(sink_.Drain(DrainReason::kBarrier, out_)); }

  // Freezes and writes; handles and open handles.
  StatusOr<StateSnapshot> Snapshot(CheckpointId id) {
    std::unique_ptr<Frozen> frozen = sink_.Freeze(id);
    if (frozen == nullptr) return StateSnapshot();
    NoWriter writer;
    return frozen->Write(writer);
  }
  // The handles.
  StatusOr<std::vector<std::string>> Checkpoint(CheckpointId id) {
    WEIR_ASSIGN_OR_RETURN(StateSnapshot snapshot, Snapshot(id));
    return std::move(snapshot.handles);
  }
  Status CheckpointAndCommit(CheckpointId id) {
    WEIR_ASSIGN_OR_RETURN(std::vector<std::string> handles, Checkpoint(id));
    for (const std::string& handle : handles) WEIR_RETURN_IF_ERROR(sink_.Commit(handle));
    return absl::OkStatus();
  }
  int wakes() const {
    std::lock_guard lock(wakes_->mutex);
    return wakes_->count;
  }

 private:
  Status WhenDone(StatusOr<Progress> progress) {
    while (progress.ok() && *progress == Progress::kBlocked) {
      WaitForWake();
      progress = sink_.Resume(out_);
    }
    return progress.status();
  }
  void WaitForWake() {
    std::unique_lock lock(wakes_->mutex);
    wakes_->changed.wait(lock, [&] { return wakes_->count > seen_; });
    seen_ = wakes_->count;
  }
  struct Wakes {
    mutable std::mutex mutex;
    std::condition_variable changed;
    int count = 0;
  };

  S sink_;
  Status opened_;
  RecordingOutput out_;
  std::shared_ptr<Wakes> wakes_ = std::make_shared<Wakes>();
  int seen_ = 0;
};

}  // namespace weir::testing
