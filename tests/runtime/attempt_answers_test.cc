#include "runtime/worker/attempt_answers.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir::testing {
namespace {

using runtime::ToCoordinator;
using runtime::ToExecutor;

class AttemptAnswersTest : public ::testing::Test {
 protected:
  bool Take(const ToExecutor& command) {
    return answers_.Take(command, [&](const ToCoordinator& answer) { said_.push_back(answer); });
  }
  static ToExecutor Trigger(uint64_t checkpoint) {
    ToExecutor command;
    command.mutable_trigger_checkpoint()->set_checkpoint(checkpoint);
    return command;
  }
  static ToCoordinator Ack(uint64_t checkpoint) {
    ToCoordinator answer;
    answer.mutable_checkpoint_ack()->set_checkpoint(checkpoint);
    return answer;
  }

  AttemptAnswers answers_;
  std::vector<ToCoordinator> said_;
};

TEST_F(AttemptAnswersTest, WhatIsToldTwiceIsDoneOnceAndAnsweredAgain) {
  ToExecutor deploy;
  deploy.mutable_deploy();
  EXPECT_TRUE(Take(deploy));
  EXPECT_FALSE(Take(deploy)) << "it is being done";
  EXPECT_TRUE(said_.empty());
  ToCoordinator opened;
  opened.mutable_task_opened();
  answers_.OnSent(opened);
  EXPECT_FALSE(Take(deploy));
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_TRUE(said_[0].has_task_opened());
}

TEST_F(AttemptAnswersTest, AFailureIsToldAgainWithTheDeployment) {
  ToExecutor deploy;
  deploy.mutable_deploy();
  Take(deploy);
  ToCoordinator failed;
  failed.mutable_task_failed()->set_message("disk");
  answers_.OnSent(failed);
  EXPECT_FALSE(Take(deploy));
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_EQ(said_[0].task_failed().message(), "disk");
}

TEST_F(AttemptAnswersTest, PiecesOfTheLastCheckpointAreSaidAgainAndNoOthers) {
  EXPECT_TRUE(Take(Trigger(7)));
  answers_.OnSent(Ack(7));
  answers_.OnSent(Ack(7));
  EXPECT_FALSE(Take(Trigger(7)));
  EXPECT_EQ(said_.size(), 2u);
  said_.clear();
  EXPECT_TRUE(Take(Trigger(8)));
  answers_.OnSent(Ack(7));
  EXPECT_FALSE(Take(Trigger(8)));
  EXPECT_TRUE(said_.empty()) << "a piece of an older checkpoint is none of this one";
}

TEST_F(AttemptAnswersTest, ACommitIsSaidAgainUntilTheNextOne) {
  ToExecutor complete;
  complete.mutable_checkpoint_complete()->set_checkpoint(7);
  EXPECT_TRUE(Take(complete));
  ToCoordinator committed;
  committed.mutable_committed()->set_checkpoint(7);
  answers_.OnSent(committed);
  EXPECT_FALSE(Take(complete));
  EXPECT_EQ(said_.size(), 1u);
  complete.mutable_checkpoint_complete()->set_checkpoint(8);
  EXPECT_TRUE(Take(complete));
  EXPECT_FALSE(Take(complete));
  EXPECT_EQ(said_.size(), 1u) << "the commit of 8 is still to come";
}

TEST_F(AttemptAnswersTest, AnEndIsAlwaysNew) {
  ToExecutor cancel;
  cancel.mutable_cancel();
  EXPECT_TRUE(Take(cancel));
  EXPECT_TRUE(Take(cancel));
}

}  // namespace
}  // namespace weir::testing
