#include "state/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/codec.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

Manifest Sample() {
  Manifest manifest;
  manifest.job_id = "flights-1f0c";
  manifest.job_name = std::string("fl\0ghts\xff", 8);
  manifest.checkpoint = 1ull << 40;
  manifest.kind = BarrierKind::kStop;
  manifest.attempt = 3;
  manifest.created = -5;
  manifest.graph_fingerprint = "graph";
  manifest.resources = {1ull << 39, {{"router", std::string("rules\0\xff", 7)}, {"other", ""}}};
  StageState stage;
  stage.name = "dedup";
  stage.parallelism = 3;
  stage.counters = {1, 2, 3, 4, 5, {{"unique", 6}, {"late\xff", 7}}};
  for (int i = 0; i < 3; ++i) {
    SubtaskState subtask;
    subtask.operator_state.format = "id-store/1";
    subtask.operator_state.inline_bytes = std::string(3, '\0');
    subtask.operator_state.files = {{"a.sst", "content-a", 5},
                                    {"b.sst", "content-" + std::to_string(i), 6}};
    subtask.operator_state.handles = {"handle", ""};
    subtask.keyed_state.format = "heap-keyed/1";
    subtask.keyed_state.schemas = {{"count", Codec<std::map<std::string, int>>::Describe()}};
    stage.subtasks.push_back(subtask);
  }
  stage.key = Codec<std::tuple<std::string, int64_t>>::Describe();
  manifest.stages.push_back(stage);
  stage.name = "map";
  stage.key.reset();
  stage.place = "/out\xff";
  manifest.stages.push_back(stage);
  return manifest;
}

TEST(ManifestTest, ComesBackAsItWas) {
  const Manifest manifest = Sample();
  auto read = Manifest::Parse(manifest.Serialize(), "manifest.pb");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Serialize(), manifest.Serialize());
  EXPECT_EQ(read->job_name, manifest.job_name);
  EXPECT_EQ(read->checkpoint, manifest.checkpoint);
  EXPECT_EQ(read->kind, BarrierKind::kStop);
  EXPECT_EQ(read->resources, manifest.resources);
  EXPECT_EQ(read->created, -5);
  const StageState* stage = read->FindStage("dedup");
  ASSERT_NE(stage, nullptr);
  EXPECT_EQ(read->FindStage("other"), nullptr);
  EXPECT_EQ(stage->counters, manifest.stages[0].counters);
  ASSERT_TRUE(stage->key);
  EXPECT_EQ(stage->key->ToText(), "tuple<string,int>");
  EXPECT_FALSE(read->FindStage("map")->key);
  EXPECT_EQ(read->FindStage("map")->place, "/out\xff");
  EXPECT_EQ(stage->subtasks[2].operator_state.handles.size(), 2u);
  EXPECT_EQ(stage->subtasks[2].operator_state.files[1].content, "content-2");
  EXPECT_EQ(stage->subtasks[1].keyed_state.schemas[0].schema.ToText(),
            manifest.stages[0].subtasks[1].keyed_state.schemas[0].schema.ToText());
  EXPECT_EQ(read->Contents(),
            (std::set<std::string>{"content-a", "content-0", "content-1", "content-2"}));
}

TEST(ManifestTest, EveryFlippedBitAndEveryCutIsDataLossThatNamesTheFile) {
  const std::string good = Sample().Serialize();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    Status status = Manifest::Parse(bad, "chk-7/manifest.pb").status();
    ASSERT_TRUE(absl::IsDataLoss(status)) << bit << " " << status;
    ASSERT_THAT(std::string(status.message()), HasSubstr("chk-7/manifest.pb"));
  }
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_TRUE(absl::IsDataLoss(Manifest::Parse(good.substr(0, size), "m").status())) << size;
  }
  EXPECT_TRUE(absl::IsDataLoss(Manifest::Parse(good + good, "m").status()));
  EXPECT_TRUE(absl::IsDataLoss(Manifest::Parse(std::string(4096, '\0'), "m").status()));
}

TEST(ManifestTest, RefusesSubtasksThatDoNotMatchTheParallelism) {
  Manifest manifest = Sample();
  manifest.stages[0].subtasks.pop_back();
  Status status = Manifest::Parse(manifest.Serialize(), "m").status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'dedup'"));
}

TEST(ManifestTest, GivesNewInstancesTheSnapshotsThatOverlapTheirKeyGroups) {
  const StageState stage = Sample().stages[0];
  auto subtasks = [](const std::vector<RestoredSnapshot>& snapshots) {
    std::vector<int> numbers;
    for (const RestoredSnapshot& s : snapshots) numbers.push_back(s.subtask);
    return numbers;
  };
  EXPECT_EQ(subtasks(OperatorSnapshotsFor(stage, KeyGroupsOf(1, 3))), (std::vector<int>{1}));
  EXPECT_EQ(subtasks(KeyedSnapshotsFor(stage, KeyGroupsOf(0, 2))), (std::vector<int>{0, 1}));
  EXPECT_EQ(subtasks(KeyedSnapshotsFor(stage, KeyGroupsOf(0, 1))), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(KeyedSnapshotsFor(stage, KeyGroupsOf(0, 1))[2].parallelism, 3);
  EXPECT_EQ(KeyedSnapshotsFor(stage, KeyGroupsOf(0, 1))[2].snapshot.format, "heap-keyed/1");
}

}  // namespace
}  // namespace weir
