// An isolated plugin of tests/plugins in its operator, with processes and all, for tests.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "operators/transforms/isolated_plugin_operator.h"
#include "tests/operators/plugin_harness.h"

namespace weir::testing {

// What no event needs, however slow the machine: where none hangs, none is taken for one that does.
inline constexpr Duration kPatience = Seconds(120);

inline PluginOptions Isolated(Duration timeout = kPatience, uint64_t memory = 64 << 20) {
  PluginOptions options;
  options.isolate = true;
  options.timeout = timeout;
  options.memory = memory;
  return options;
}

inline StatusOr<std::shared_ptr<const IsolatedPlugin>> LoadIsolated(
    std::string_view name, PluginSettings settings = {}, PluginOptions options = Isolated()) {
  WEIR_ASSIGN_OR_RETURN(const std::string bytes,
                        ReadFile(RealEnvironment().disk, PluginPath(name)));
  return IsolatedPlugin::Load(name, PluginPath(name), bytes, std::move(settings), options);
}

// An isolated plugin in its operator, and a driver that waits for its wake-ups.
class IsolatedBed {
 public:
  explicit IsolatedBed(std::string_view name, PluginSettings settings = {},
                       PluginOptions options = Isolated(), KeyedStore* store = nullptr) {
    auto plugin = LoadIsolated(name, std::move(settings), options);
    EXPECT_TRUE(plugin.ok()) << plugin.status();
    bed.context.env = &RealEnvironment();
    bed.context.keyed = store;
    bed.context.wake = [this] {
      std::lock_guard lock(mutex_);
      woken_ = true;
      changed_.notify_all();
    };
    bed.context.notify = [this] {
      std::lock_guard lock(mutex_);
      notified_ = true;
      changed_.notify_all();
    };
    bed.context.log = [this](std::string_view line) {
      std::lock_guard lock(mutex_);
      log_.emplace_back(line);
    };
    op = std::make_unique<IsolatedPluginOperator>(*plugin, AllFields());
    const Status opened = op->Open(bed.context);
    EXPECT_TRUE(opened.ok()) << opened;
  }

  // Until it is done with the call.
  void Finish(StatusOr<Progress> progress) {
    while (progress.ok() && *progress != Progress::kDone) {
      if (*progress == Progress::kBlocked) {
        std::unique_lock lock(mutex_);
        ASSERT_TRUE(changed_.wait_for(lock, std::chrono::microseconds(2 * kPatience),
                                      [this] { return woken_; }));
        woken_ = false;
      }
      progress = op->Resume(out);
    }
    ASSERT_TRUE(progress.ok()) << progress.status();
  }
  // Until it announces something, and is done with that.
  void AwaitNotified() {
    {
      std::unique_lock lock(mutex_);
      ASSERT_TRUE(changed_.wait_for(lock, std::chrono::microseconds(2 * kPatience),
                                    [this] { return notified_; }));
      notified_ = false;
    }
    Finish(op->OnTimer(TimerKind::kNotified, 0, out));
  }
  void Push(const std::vector<Act>& acts) { Finish(op->Process(0, Events(acts), out)); }
  void Drain() { Finish(op->Drain(DrainReason::kBarrier, out)); }
  void Run(const std::vector<Act>& acts) {
    Push(acts);
    Drain();
  }
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const Event& event : out.Rows<Event>()) ids.emplace_back(event.id);
    return ids;
  }
  std::vector<std::string> Payloads() const {
    std::vector<std::string> payloads;
    for (const Event& event : out.Rows<Event>()) payloads.emplace_back(event.payload);
    return payloads;
  }
  std::vector<std::string> Errors() const {
    std::vector<std::string> errors;
    for (const auto& rejected : out.rejected) errors.push_back(rejected.error);
    return errors;
  }
  uint64_t Count(std::string_view what) { return bed.counters.Named("1.0/" + std::string(what)); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool notified_ = false;
  std::vector<std::string> log_;

 public:
  OperatorBed bed;
  RecordingOutput out;
  std::unique_ptr<IsolatedPluginOperator> op;
};

}  // namespace weir::testing
