// What a simulated disk keeps when a process dies and when the power fails.
#include "tests/simulation/sim_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/check.h"
#include "core/environment.h"
#include "tests/simulation/process.h"

namespace weir::simulation {
namespace {

using ::testing::ElementsAre;

class SimDiskTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  SimDiskTest() { WEIR_CHECK(disk_.MakeDirectories("/a").ok()); }
  Disk& view() { return process_.env().disk; }
  std::string Read(const std::string& path) {
    return view().Stat(path).ok() ? *ReadFile(view(), path) : "-";
  }

  World world_{GetParam()};
  SimDisk disk_{world_};
  DiskTrouble trouble_;
  SimProcess process_{world_, disk_, trouble_, "test"};
};

INSTANTIATE_TEST_SUITE_P(Seeds, SimDiskTest, ::testing::Range<uint64_t>(1, 60));

TEST_P(SimDiskTest, WhatWasWrittenAtomicallySurvivesAFailureOfThePower) {
  ASSERT_TRUE(view().SyncDirectory("/").ok());
  ASSERT_TRUE(WriteAtomically(view(), "/a/file", "old").ok());
  ASSERT_TRUE(WriteAtomically(view(), "/a/file", "new").ok());
  disk_.FailPower();
  EXPECT_EQ(Read("/a/file"), "new");
}

TEST_P(SimDiskTest, WhatIsInTheMidstOfBeingReplacedIsOldOrNew) {
  ASSERT_TRUE(view().SyncDirectory("/").ok());
  ASSERT_TRUE(WriteAtomically(view(), "/a/file", "old").ok());
  process_.StrikeAtAccess(1 + world_.random().Below(5), [](SimProcess& p) { p.Kill(); });
  EXPECT_FALSE(WriteAtomically(view(), "/a/file", "new").ok());
  disk_.FailPower();
  SimProcess next(world_, disk_, trouble_, "next");
  const std::string found = *ReadFile(next.env().disk, "/a/file");
  EXPECT_TRUE(found == "old" || found == "new") << found;
}

TEST_P(SimDiskTest, TheOrderInWhichNamesWereChangedIsKept) {
  for (const char* name : {"/a/1", "/a/2", "/a/3"}) ASSERT_TRUE(disk_.Create(name).ok());
  disk_.FailPower();
  const auto names = disk_.List("/a");
  if (!names.ok()) return;  // nor is the folder left
  const std::vector<std::string> all = {"1", "2", "3"};
  ASSERT_LE(names->size(), all.size());
  EXPECT_TRUE(std::equal(names->begin(), names->end(), all.begin()));
}

TEST_P(SimDiskTest, AFileThatIsOpenIsTheFileWhateverItsNameIs) {
  const auto file = *view().Create("/a/pending");
  ASSERT_TRUE(file->Append("1").ok());
  ASSERT_TRUE(view().Rename("/a/pending", "/a/committed").ok());
  ASSERT_TRUE(file->Append("2").ok());
  EXPECT_EQ(Read("/a/committed"), "12");
  EXPECT_THAT(*view().List("/a/"), ElementsAre("committed"));
}

TEST(SimDiskFaults, UnsyncedBytesAreLostOrTornSometimes) {
  std::set<std::string> found;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    World world(seed);
    SimDisk disk(world);
    const SimDisk::File file = *disk.Create("/file");
    disk.Append(*file, "ab");
    disk.Sync(*file);
    disk.Append(*file, "cd");
    ASSERT_TRUE(disk.SyncDirectory("/").ok());
    disk.FailPower();
    found.insert(file->data);
  }
  EXPECT_TRUE(found.contains("ab"));
  EXPECT_TRUE(found.contains("abcd"));
  EXPECT_TRUE(found.contains(std::string("abc\0", 4))) << "a block that never came";
}

TEST(SimProcessTest, AStoppedProcessGoesOnInOrder) {
  World world(1);
  SimDisk disk(world);
  DiskTrouble trouble;
  SimProcess process(world, disk, trouble, "test");
  std::vector<int> seen;
  const int64_t start = world.now();
  process.At(start + 10, [&] { seen.push_back(1); });
  process.At(start + 100, [&] { seen.push_back(2); });
  process.StopFor(100);
  process.At(start + 100, [&] { seen.push_back(3); });
  while (world.now() < start + 99 && world.RunOne()) {
  }
  EXPECT_LE(seen.size(), 0u);
  while (world.RunOne()) {
  }
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
}

TEST(SimProcessTest, NothingOfADeadProcessHappens) {
  World world(1);
  SimDisk disk(world);
  DiskTrouble trouble;
  SimProcess process(world, disk, trouble, "test");
  int events = 0, gone = 0;
  process.on_gone = [&] { ++gone; };
  process.After(10, [&] { ++events; });
  process.env().io.Submit([&] { events += process.env().disk.MakeDirectories("/x").ok(); });
  process.Kill();
  while (world.RunOne()) {
  }
  EXPECT_EQ(events, 0);
  EXPECT_EQ(gone, 1);
  EXPECT_FALSE(disk.Stat("/x").ok());
}

}  // namespace
}  // namespace weir::simulation
