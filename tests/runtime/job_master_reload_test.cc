#include "runtime/coordinator/job_master.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/parameters.h"
#include "tests/runtime/job_master_fixture.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

// A job whose one stage goes by a resource that may change.
class ReloadTest : public JobMasterTest {
 protected:
  ReloadTest() {
    options_.resources["source"] = {"rules.yaml", "one"};
    options_.identity.resources["rules.yaml"] = Sha256Hex("one");
  }
  void Reload(const std::string& bytes) { master_->Reload({{"source", bytes}}, now_); }
  static std::string Content(const state::Resources& resources) {
    return resources.contents_size() == 1 ? resources.contents(0).value() : "";
  }
  void Restart() {
    Canceled();
    master_->OnGarbageCollected(now_);
    now_ += limits::kRestartDelayMax;
    Tick();
  }
  void WriteFails() {
    Ack(0, 1);
    Ack(1, 1);
    master_->OnManifestOutcome(host_.record.last_checkpoint, absl::ResourceExhaustedError("full"));
  }
};

TEST_F(ReloadTest, ANewVersionTakesEffectAtABarrierThatComesAtOnce) {
  Start();
  EXPECT_EQ(Content(host_.Last().deploy().resources()), "one");
  Opened();
  Recovered();
  Reload("two");
  const runtime::TriggerCheckpoint trigger = host_.Last().trigger_checkpoint();
  EXPECT_EQ(trigger.checkpoint(), 10u);
  EXPECT_EQ(trigger.resources_version(), 10u);
  EXPECT_EQ(Content(trigger.resources()), "two");
  EXPECT_EQ(host_.record.identity.resources["rules.yaml"], Sha256Hex("one"));
  Checkpoint(5);
  EXPECT_EQ(host_.manifests.back().resources, (ResourceVersion{10, {{"source", "two"}}}));
  EXPECT_EQ(host_.manifests.back().stages[0].counters.named.at("reloads"), 1u);
  EXPECT_EQ(host_.record.identity.resources["rules.yaml"], Sha256Hex("two"));

  // Later barriers tell the version and bring nothing.
  now_ += Seconds(10);
  Tick();
  EXPECT_EQ(host_.Last().trigger_checkpoint().resources_version(), 10u);
  EXPECT_FALSE(host_.Last().trigger_checkpoint().has_resources());
  Checkpoint(5);
  EXPECT_EQ(host_.manifests.back().resources.version, 10u);
}

TEST_F(ReloadTest, AChangeDuringACheckpointWaitsForTheNext) {
  Run();
  now_ += Seconds(10);
  Tick();
  EXPECT_EQ(host_.Last().trigger_checkpoint().resources_version(), 0u);
  Reload("two");
  Reload("three");
  Checkpoint(5);
  EXPECT_EQ(host_.manifests.back().resources, (ResourceVersion{0, {{"source", "one"}}}));
  EXPECT_EQ(host_.Last().trigger_checkpoint().checkpoint(), 11u);
  EXPECT_EQ(Content(host_.Last().trigger_checkpoint().resources()), "three");
}

TEST_F(ReloadTest, AnAbandonedCheckpointTakesItsVersionWithItAndTheNextBringsItAgain) {
  Run();
  Reload("two");  // at the barrier of checkpoint 10, whose manifest never stands
  WriteFails();
  Restart();
  EXPECT_EQ(Content(host_.Last().deploy().resources()), "one");
  EXPECT_EQ(host_.Last().deploy().resources().version(), 0u);
  EXPECT_EQ(host_.record.identity.resources["rules.yaml"], Sha256Hex("one"));
  Opened();
  Recovered();
  EXPECT_EQ(host_.Last().trigger_checkpoint().checkpoint(), 11u);
  EXPECT_EQ(host_.Last().trigger_checkpoint().resources_version(), 11u) << "never 10 again";
  EXPECT_EQ(Content(host_.Last().trigger_checkpoint().resources()), "two");
  Checkpoint(5);
  EXPECT_EQ(host_.manifests.back().stages[0].counters.named.at("reloads"), 1u);
}

TEST_F(ReloadTest, ATaskThatFailsBehindTheBarrierIsReplayedByTheVersionOfItsCheckpoint) {
  Run();
  Reload("two");
  Checkpoint(5);
  Reload("three");  // at the barrier of 11, which some tasks have passed
  Ack(0, 6);
  Fail(absl::UnavailableError("a task"));
  Restart();
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 10u);
  EXPECT_EQ(host_.Last().deploy().resources().version(), 10u);
  EXPECT_EQ(Content(host_.Last().deploy().resources()), "two");
}

TEST_F(ReloadTest, ARunGoesOnWithItsCheckpointsVersionAndTakesTheFilesAtTheFirstBarrier) {
  Manifest& restore = options_.restore.emplace();
  restore.checkpoint = 7;
  restore.resources = {5, {{"source", "old"}, {"a stage that is gone", "x"}}};
  Start();
  EXPECT_EQ(Content(host_.Last().deploy().resources()), "old");
  EXPECT_EQ(host_.Last().deploy().resources().version(), 5u);
  Opened();
  EXPECT_EQ(host_.record.identity.resources["rules.yaml"], Sha256Hex("old"));
  Recovered();
  EXPECT_EQ(host_.Last().trigger_checkpoint().resources_version(), 10u);
  EXPECT_EQ(Content(host_.Last().trigger_checkpoint().resources()), "one");
}

TEST_F(ReloadTest, WhatChangesBackBeforeTheBarrierIsNoChange) {
  Run();
  now_ += Seconds(10);
  Tick();
  Reload("two");
  Reload("one");
  Checkpoint(5);
  EXPECT_TRUE(host_.Last().has_finish_commit()) << "no barrier for its sake";
}

TEST_F(ReloadTest, NoVersionIsBroughtByABarrierBehindWhichThereAreNoRows) {
  Run();
  now_ += Seconds(10);
  Tick();
  Reload("two");
  master_->RequestStop(now_);
  Checkpoint(5);
  EXPECT_EQ(host_.Last().trigger_checkpoint().kind(), static_cast<uint32_t>(BarrierKind::kStop));
  EXPECT_FALSE(host_.Last().trigger_checkpoint().has_resources());
}

TEST_F(ReloadTest, ARefusedChangeIsToldAndCountedAndChangesNothing) {
  Run();
  master_->OnReloadRefused({"source"}, absl::InvalidArgumentError("rules.yaml:3: no"));
  EXPECT_THAT(host_.log, HasSubstr("stage 'source': rules.yaml cannot be reloaded"));
  EXPECT_THAT(host_.log, HasSubstr("rules.yaml:3: no"));
  EXPECT_TRUE(host_.Last().has_start_input()) << "no barrier for its sake";
  Fail(absl::UnavailableError("a task"));
  Restart();
  Opened();
  Recovered();
  now_ += Seconds(10);
  Tick();
  Checkpoint(5);
  EXPECT_EQ(host_.manifests.back().stages[0].counters.named.at("reloads_refused"), 1u);
  EXPECT_EQ(host_.manifests.back().resources.version, 0u);
}

}  // namespace
}  // namespace weir::testing
