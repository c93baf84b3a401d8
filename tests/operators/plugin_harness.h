// What the tests of plugins share: the plugins of tests/plugins, loaded, and a bed to run one in.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/transforms/plugin.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"

namespace weir::testing {

inline std::string PluginPath(std::string_view name) {
  return std::string(WEIR_TEST_PLUGINS) + "/" + PluginFileName(name);
}

inline StatusOr<std::shared_ptr<const PluginLibrary>> LoadPlugin(std::string_view name) {
  WEIR_ASSIGN_OR_RETURN(const std::string bytes,
                        ReadFile(RealEnvironment().disk, PluginPath(name)));
  return PluginLibrary::Load(name, PluginPath(name), bytes);
}

// An event that tells a plugin of tests/plugins what to do.
struct Act {
  std::string type;
  std::string tenant = "";
  std::string payload = R"({"id":"a"})";
};

// The i-th event has the id "i" and the time 1,000 + i.
inline BatchPtr Events(const std::vector<Act>& acts) {
  auto batch = std::make_unique<Batch<Event>>();
  SlabArena arena;
  size_t view_bytes = 0;
  for (size_t i = 0; i < acts.size(); ++i) {
    Event event;
    event.id = arena.Copy(std::to_string(i));
    event.tenant = arena.Copy(acts[i].tenant);
    event.type = arena.Copy(acts[i].type);
    event.payload = arena.Copy(acts[i].payload);
    event.time = static_cast<Timestamp>(1000 + i);
    event.priority = 5;
    view_bytes += Codec<Event>::ViewBytes(event);
    batch->Add(event, event.time);
  }
  batch->AddViewBytes(view_bytes);
  arena.Release(batch->slabs());
  return batch;
}

inline EventFields AllFields() { return {{"id"}, "time", "type", "tenant", "priority"}; }

// Each look at the monotonic clock moves it on.
class TickingClock final : public Clock {
 public:
  Timestamp Now() override { return Seconds(1'000'000); }
  int64_t MonotonicMicros() override { return monotonic_ += look_micros; }
  int64_t look_micros = 0;

 private:
  int64_t monotonic_ = 0;
};

// A plugin in its operator. Run() passes a batch through, all of it.
class PluginBed {
 public:
  explicit PluginBed(std::string_view name, PluginSettings settings = {},
                     EventFields fields = AllFields(), PluginOptions options = {}) {
    bed.context.env = &env;
    bed.context.log = [this](std::string_view line) { log.emplace_back(line); };
    library = LoadPlugin(name);
    EXPECT_TRUE(library.ok()) << library.status();
    auto checked = (*library)->Create(settings);
    EXPECT_TRUE(checked.ok()) << checked.status();
    op = std::make_unique<PluginOperator>(*library, std::move(settings), checked->declaration(),
                                          std::move(fields), options);
    if (!checked->declaration().states.empty()) {
      store = *MakeHeapKeyedStore({"stage", {}}, Restore{});
      bed.context.keyed = store.get();
    }
    const Status opened = op->Open(bed.context);
    EXPECT_TRUE(opened.ok()) << opened;
  }
  // How many calls it took.
  int Run(BatchPtr batch) {
    auto progress = op->Process(0, std::move(batch), out);
    int calls = 1;
    for (; progress.ok() && *progress == Progress::kMoreOutput; ++calls) {
      progress = op->Resume(out);
    }
    EXPECT_TRUE(progress.ok()) << progress.status();
    EXPECT_EQ(*progress, Progress::kDone);
    return calls;
  }
  int Run(const std::vector<Act>& acts) { return Run(Events(acts)); }

  std::vector<std::string> Payloads(int port = 0) const {
    std::vector<std::string> payloads;
    for (const Event& event : out.Rows<Event>(port)) payloads.emplace_back(event.payload);
    return payloads;
  }
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const Event& event : out.Rows<Event>()) ids.emplace_back(event.id);
    return ids;
  }
  std::vector<std::string> Errors() const {
    std::vector<std::string> errors;
    for (const auto& rejected : out.rejected) errors.push_back(rejected.error);
    return errors;
  }

  // A counter of the plugin's version.
  uint64_t Counted(std::string_view name) {
    return bed.counters.Named((*library)->identity().version + "/" + std::string(name));
  }

  OperatorBed bed;
  TickingClock clock;
  Environment env{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  std::unique_ptr<KeyedStore> store;  // if the plugin has a state
  std::vector<std::string> log;
  RecordingOutput out;
  StatusOr<std::shared_ptr<const PluginLibrary>> library;
  std::unique_ptr<PluginOperator> op;
};

}  // namespace weir::testing
