// Messages that speak of what there is not end an attempt, and never the process that gets them.
#include "runtime/message_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/worker/executor.h"
#include "state/object_store.h"
#include "testing/temp_dir.h"
#include "tests/runtime/job_master_fixture.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

class MessageOfAnExecutorTest : public JobMasterTest {
 protected:
  // What the attempt is said to have failed of.
  std::string Say(const runtime::ToCoordinator& message) {
    master_->OnMessage(0, message, now_);
    EXPECT_TRUE(host_.Last().has_cancel()) << host_.Last().DebugString();
    Canceled();
    return master_->status(now_).failure.ToString();
  }
};

TEST_F(MessageOfAnExecutorTest, OfATaskOrStageThatThereIsNotEndsTheAttempt) {
  Run();
  runtime::ToCoordinator message = Message();
  message.mutable_task_progress()->add_stages()->set_stage(7);
  EXPECT_THAT(Say(message), HasSubstr("DATA_LOSS: what executor 0 sent: stage 7 is not one of"));
}

TEST_F(MessageOfAnExecutorTest, WithAnotherTasksNumberItCountsForNobody) {
  Start();
  runtime::ToCoordinator message = Message();
  message.mutable_task_opened()->mutable_task()->set_subtask(2);
  EXPECT_THAT(Say(message), HasSubstr("there is no subtask 2 of group 0"));
}

TEST_F(MessageOfAnExecutorTest, AnAcknowledgementIsReadBeforeItIsCounted) {
  Run();
  now_ += Seconds(11);
  Tick();
  ASSERT_TRUE(host_.Last().has_trigger_checkpoint());
  runtime::ToCoordinator message = Message();
  runtime::CheckpointAck& ack = *message.mutable_checkpoint_ack();
  ack.set_checkpoint(host_.record.last_checkpoint);
  ack.add_stages()->set_snapshot("\xff\xff");
  EXPECT_THAT(Say(message), HasSubstr("DATA_LOSS: what executor 0 sent"));
  EXPECT_TRUE(host_.manifests.empty());
}

TEST_F(MessageOfAnExecutorTest, AFailureWithoutAnErrorIsOneToo) {
  Run();
  runtime::ToCoordinator message = Message();
  message.mutable_task_failed()->set_code(0);
  EXPECT_THAT(Say(message), HasSubstr("unknown code 0"));
}

// An executor of a job of one stage, which is never deployed.
class MessageOfACoordinatorTest : public ::testing::Test {
 protected:
  MessageOfACoordinatorTest() {
    job_.graph.job = "job";
    job_.graph.stages.push_back({.name = "source", .kind = "source", .role = StageRole::kSource});
    job_.stages.resize(1);
    Executor::Options options;
    options.work_dir = folder_.path() + "/work";
    executor_ = std::make_unique<Executor>(
        job_, store_, env_, loop_, std::move(options),
        [this](const runtime::ToCoordinator& message) { answers_.push_back(message); });
  }
  std::string Say(const std::function<void(runtime::Deploy&)>& change) {
    runtime::ToExecutor message;
    message.set_attempt(3);
    runtime::Deploy& deploy = *message.mutable_deploy();
    deploy.set_parallelism(2);
    deploy.add_executors()->set_subtasks(1);
    deploy.add_executors()->set_subtasks(1);
    deploy.mutable_executors(1)->set_first_subtask(1);
    change(deploy);
    executor_->OnMessage(message);
    EXPECT_EQ(answers_.back().attempt(), 3u);
    return answers_.back().task_failed().message();
  }

  Environment& env_ = RealEnvironment();
  TempDir folder_;
  LocalObjectStore objects_{env_, folder_.path() + "/checkpoints"};
  CheckpointStore store_{objects_, env_, {.job_id = "job-1", .follows = true}};
  EventLoop loop_{env_.clock};
  BuiltJob job_;
  std::vector<runtime::ToCoordinator> answers_;
  std::unique_ptr<Executor> executor_;
};

TEST_F(MessageOfACoordinatorTest, ThatDeploysWhatCannotBeIsAnswered) {
  EXPECT_THAT(Say([](auto& deploy) { deploy.set_executor(2); }), HasSubstr("no executor 2 of 2"));
  EXPECT_THAT(Say([](auto& deploy) { deploy.set_parallelism(0); }),
              HasSubstr("a parallelism of 0"));
  EXPECT_THAT(Say([](auto& deploy) { deploy.set_parallelism(1u << 31); }),
              HasSubstr("a parallelism of 2147483648"));
  EXPECT_THAT(Say([](auto& deploy) { deploy.set_parallelism(3); }),
              HasSubstr("have 2 subtasks of 3"));
  EXPECT_THAT(Say([](auto& deploy) { deploy.mutable_executors(1)->set_first_subtask(0); }),
              HasSubstr("do not follow each other"));
  EXPECT_THAT(Say([](auto& deploy) { deploy.mutable_executors(0)->set_subtasks(0xffffffff); }),
              HasSubstr("do not follow each other"));
  EXPECT_THAT(
      Say([](auto& deploy) { deploy.mutable_resources()->add_contents()->set_key("source"); }),
      HasSubstr("a resource came for a stage that has none"));
}

TEST_F(MessageOfACoordinatorTest, ThatDeploysPartsHasAllSubtasksOfEach) {
  job_.graph.stages.push_back({.name = "map", .kind = "map", .part = "b"});
  job_.stages.resize(2);
  EXPECT_THAT(Say([](auto&) {}), HasSubstr("have 2 subtasks of 4"));
  EXPECT_THAT(Say([](auto& deploy) { deploy.mutable_executors(1)->set_part(1); }),
              HasSubstr("do not follow each other"));
  EXPECT_THAT(Say([](auto& deploy) {
                for (const uint32_t part : {1, 2}) {
                  deploy.add_executors()->set_part(part);
                  deploy.mutable_executors(deploy.executors_size() - 1)->set_subtasks(2);
                }
              }),
              HasSubstr("have 6 subtasks of 4"));
}

TEST_F(MessageOfACoordinatorTest, OfASinkOrABarrierThatThereIsNotIsNotTaken) {
  runtime::ToExecutor message;
  message.mutable_finish_commit()->add_stages()->set_stage(0);
  EXPECT_THAT(CheckMessage(message, job_).ToString(), HasSubstr("there is no sink 0"));
  message.mutable_finish_commit()->mutable_stages(0)->set_stage(1u << 31);
  EXPECT_THAT(CheckMessage(message, job_).ToString(), HasSubstr("there is no sink 2147483648"));
  message.mutable_trigger_checkpoint()->set_kind(9);
  EXPECT_THAT(CheckMessage(message, job_).ToString(), HasSubstr("unknown kind 9"));
}

}  // namespace
}  // namespace weir::testing
