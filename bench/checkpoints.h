// Checkpoints for benchmarks of one operator's state: what a task and the coordinator do at a
// barrier, with a real CheckpointStore on disk, and nothing of the runtime around it.
//
// Used by the one thread that plays the task; writing happens on the environment's I/O pool. Errors
// end the program.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "bench/bare.h"
#include "core/environment.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"

namespace bench {

// Makes a folder below `parent`.
inline std::string MakeFolder(const std::string& parent, std::string_view name) {
  std::string path = fmt::format("{}/{}", parent, name);
  std::filesystem::create_directory(path);
  return path;
}

inline void Require(const weir::Status& status) {
  if (!status.ok()) bare::Fail(status.ToString());
}
template <class T>
T Require(weir::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

class Checkpoints {
 public:
  Checkpoints(weir::Environment& env, std::string directory)
      : env_(env),
        objects_(env, std::move(directory)),
        store_(objects_, env, {.job_id = "bench"}) {}
  ~Checkpoints() { Wait(); }

  weir::CheckpointId next() const { return last_ + 1; }

  // Writes what was frozen for next(), and the manifest, and collects what is no longer needed; all
  // on the I/O pool. REQUIRES: done().
  void Write(std::unique_ptr<weir::Frozen> frozen) {
    {
      std::lock_guard lock(mutex_);
      bare::Require(done_, "a checkpoint before the last one is done");
      done_ = false;
    }
    ++last_;
    env_.io.Submit([this, checkpoint = last_, frozen = std::move(frozen).release()] {
      WriteNow(checkpoint, std::unique_ptr<weir::Frozen>(frozen));
    });
  }
  bool done() {
    std::lock_guard lock(mutex_);
    return done_;
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }

 private:
  void WriteNow(weir::CheckpointId checkpoint, std::unique_ptr<weir::Frozen> frozen) {
    weir::Manifest manifest;
    manifest.job_id = store_.job_id();
    manifest.checkpoint = checkpoint;
    weir::StageState& stage = manifest.stages.emplace_back();
    stage.name = "bench";
    stage.subtasks.emplace_back().operator_state =
        Require(frozen->Write(*store_.MakeWriter(checkpoint)));
    frozen.reset();
    Require(store_.WriteManifest(manifest));
    Require(store_.CollectGarbage().status());
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  weir::Environment& env_;
  weir::LocalObjectStore objects_;
  weir::CheckpointStore store_;
  weir::CheckpointId last_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = true;  // guarded by mutex_
};

}  // namespace bench
