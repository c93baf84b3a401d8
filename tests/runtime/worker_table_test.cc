#include "runtime/coordinator/worker_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::testing {
namespace {

class WorkerTableTest : public ::testing::Test {
 protected:
  void Add(const std::string& id, int slots) { table_.Add({.id = id, .slots = slots}); }
  // "a2 b1"
  std::string Placed(int subtasks, int parts = 1) {
    std::string text;
    for (const WorkerTable::Share& share : table_.Place(subtasks, parts)) {
      text += (text.empty() ? "" : " ") + share.worker + std::to_string(share.subtasks);
    }
    return text;
  }

  WorkerTable table_;
};

TEST_F(WorkerTableTest, SubtasksAreSpread) {
  Add("a", 4);
  Add("b", 4);
  Add("c", 4);
  EXPECT_EQ(Placed(3), "a1 b1 c1");
  EXPECT_EQ(Placed(5), "a2 b2 c1");
}

TEST_F(WorkerTableTest, WhoHasMoreFreeSlotsGetsMore) {
  Add("a", 1);
  Add("b", 5);
  EXPECT_EQ(Placed(4), "b4");
  EXPECT_EQ(Placed(6), "a1 b5");
}

TEST_F(WorkerTableTest, ASubtaskTakesASlotInEachPartOfItsJob) {
  Add("a", 7);
  Add("b", 3);
  EXPECT_EQ(Placed(3, 3), "a2 b1");
  EXPECT_EQ(Placed(4, 3), "") << "there are slots enough, but not on one worker";
}

TEST_F(WorkerTableTest, WhereThereIsNoRoomForAllNothingIsPlaced) {
  EXPECT_EQ(Placed(1), "");
  Add("a", 2);
  EXPECT_EQ(Placed(3), "");
  EXPECT_EQ(Placed(2), "a2");
}

TEST_F(WorkerTableTest, TakenSlotsAreNotFreeUntilTheyAreReleased) {
  Add("a", 2);
  table_.Take({"a", 2});
  EXPECT_EQ(table_.FreeSlots("a"), 0);
  EXPECT_EQ(Placed(1), "");
  table_.Release({"a", 2});
  EXPECT_EQ(Placed(2), "a2");
}

TEST_F(WorkerTableTest, NothingIsPlacedOnAWorkerThatLeaves) {
  Add("a", 2);
  Add("b", 1);
  table_.Find("a")->leaving = true;
  EXPECT_EQ(Placed(1), "b1");
  EXPECT_EQ(Placed(2), "");
}

TEST_F(WorkerTableTest, WhatAWorkerRunsIsKnownBeforeItComesBack) {
  table_.Take({"a", 1});
  Add("a", 2);
  EXPECT_EQ(table_.FreeSlots("a"), 1);
  table_.Remove("a");
  EXPECT_EQ(table_.FreeSlots("a"), 0);
  table_.Release({"a", 1});
}

}  // namespace
}  // namespace weir::testing
