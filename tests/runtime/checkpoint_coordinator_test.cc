#include "runtime/checkpoint/checkpoint_coordinator.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

runtime::CheckpointAck Ack(CheckpointId checkpoint, int subtask) {
  runtime::CheckpointAck ack;
  ack.set_checkpoint(checkpoint);
  ack.mutable_task()->set_subtask(subtask);
  return ack;
}

using Phase = CheckpointCoordinator::Phase;

TEST(CheckpointCoordinatorTest, NumbersGoOnFromTheLastOneUsed) {
  CheckpointCoordinator c({.interval = Seconds(1), .tasks = 1, .last_used = 41}, 0);
  EXPECT_EQ(c.Trigger(BarrierKind::kCheckpoint, 0).checkpoint, 42u);
}

TEST(CheckpointCoordinatorTest, CompletesWithTheLastPieceAndOnlyOnce) {
  CheckpointCoordinator c({.interval = Seconds(1), .tasks = 2}, 0);
  c.Trigger(BarrierKind::kCheckpoint, 0);
  EXPECT_FALSE(c.OnAck(Ack(1, 0)));
  EXPECT_FALSE(c.OnAck(Ack(1, 0)));  // said twice
  EXPECT_FALSE(c.OnAck(Ack(9, 1)));  // of another checkpoint
  EXPECT_TRUE(c.OnAck(Ack(1, 1)));
  EXPECT_EQ(c.phase(), Phase::kWriting);
  EXPECT_FALSE(c.OnAck(Ack(1, 1)));
  EXPECT_EQ(c.pieces().size(), 2u);
}

TEST(CheckpointCoordinatorTest, TheNextOneWaitsForTheCommits) {
  CheckpointCoordinator c({.interval = Seconds(1), .tasks = 1}, 0);
  EXPECT_FALSE(c.due(Seconds(1) - 1));
  EXPECT_TRUE(c.due(Seconds(1)));
  c.Trigger(BarrierKind::kCheckpoint, Seconds(1));
  EXPECT_FALSE(c.due(Seconds(5)));
  c.OnAck(Ack(1, 0));
  c.OnManifestOutcome(true);
  EXPECT_FALSE(c.due(Seconds(5)));
  EXPECT_FALSE(c.OnCommitted(7, Seconds(5)));
  EXPECT_TRUE(c.OnCommitted(1, Seconds(5)));
  EXPECT_TRUE(c.due(Seconds(5)));
  EXPECT_EQ(c.last_duration_micros(), Seconds(4));
}

TEST(CheckpointCoordinatorTest, WithoutAnIntervalNoneIsDue) {
  CheckpointCoordinator c({.interval = 0, .tasks = 1}, 0);
  EXPECT_FALSE(c.due(Hours(1000)));
}

}  // namespace
}  // namespace weir
