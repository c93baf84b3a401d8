#include "runtime/resource_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/temp_dir.h"
#include "tests/support/faulty_disk.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TestClock final : public Clock {
 public:
  Timestamp Now() override { return RealEnvironment().clock.Now() + ahead; }
  int64_t MonotonicMicros() override { return RealEnvironment().clock.MonotonicMicros(); }
  Duration ahead = 0;
};

// Two stages that go by one file, of which the second refuses what the first takes: "odd".
class ResourceWatcherTest : public ::testing::Test {
 protected:
  ResourceWatcherTest() {
    for (const char* stage : {"one", "two"}) {
      job_.graph.stages.push_back({.name = stage});
      StageCode& code = job_.stages.emplace_back();
      code.reloadable = Reloadable{
          .resource = "rules",
          .path = path_,
          .bytes = "first",
          .compile = [second = std::string(stage) == "two"](
                         std::string_view bytes) -> StatusOr<std::shared_ptr<const void>> {
            if (second && bytes == "odd") return absl::InvalidArgumentError("rules:1: odd");
            return std::make_shared<const int>(1);
          }};
    }
    Write("first");
    watcher_ = std::make_unique<ResourceWatcher>(job_, env_);
  }
  void Write(std::string_view bytes) { ASSERT_TRUE(WriteAtomically(env_.disk, path_, bytes).ok()); }
  std::vector<ResourceWatcher::Change> Look(bool at_once = false) {
    return watcher_->Look(at_once);
  }

  testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/rules";
  TestClock clock_;
  testing::FaultyDisk disk_{RealEnvironment().disk};
  Environment env_{clock_, disk_, RealEnvironment().io, RealEnvironment().random};
  BuiltJob job_;
  std::unique_ptr<ResourceWatcher> watcher_;
};

TEST_F(ResourceWatcherTest, AChangeIsTakenWhenItHasBeenSeenTwice) {
  EXPECT_THAT(Look(), IsEmpty());
  Write("second");
  EXPECT_THAT(Look(), IsEmpty()) << "it may be half of a file";
  Write("second, and the rest");
  EXPECT_THAT(Look(), IsEmpty());
  const auto changes = Look();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(changes[0].status.ok()) << changes[0].status;
  EXPECT_EQ(changes[0].bytes, "second, and the rest");
  EXPECT_THAT(changes[0].stages, ElementsAre("one", "two"));
  EXPECT_THAT(Look(), IsEmpty()) << "told once";
}

TEST_F(ResourceWatcherTest, WhoAsksForItGetsItAtOnce) {
  Write("second");
  auto changes = Look(true);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].bytes, "second");
  EXPECT_THAT(Look(), IsEmpty());
  EXPECT_EQ(Look(true).size(), 1u) << "whoever asks gets an answer";
}

TEST_F(ResourceWatcherTest, ContentOfTheSameSizeAndTimeIsSeenWhileItIsFresh) {
  EXPECT_THAT(Look(), IsEmpty());
  Write("FIRST");
  Look();
  EXPECT_EQ(Look().size(), 1u);
}

TEST_F(ResourceWatcherTest, AFileIsReadAgainOnlyWhileItsTimeSaysLittle) {
  int reads = 0;
  disk_.SetFault([&](std::string_view action, const std::string&) {
    reads += action == "open";
    return absl::OkStatus();
  });
  Look();
  Look();
  EXPECT_EQ(reads, 2) << "it may have changed twice within one tick of the file system's clock";
  clock_.ahead = Hours(1);
  Look();
  EXPECT_EQ(reads, 2);
  Look(true);
  EXPECT_EQ(reads, 3);
}

TEST_F(ResourceWatcherTest, WhatOneStageRefusesNoneTakes) {
  Write("odd");
  Look();
  const auto changes = Look();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].status.message(), "rules:1: odd");
  EXPECT_THAT(changes[0].stages, ElementsAre("one", "two"));
  EXPECT_THAT(Look(), IsEmpty()) << "told once";
}

TEST_F(ResourceWatcherTest, AFileThatIsGoneIsToldOnceAndTakenWhenItIsBack) {
  ASSERT_TRUE(env_.disk.Remove(path_).ok());
  EXPECT_THAT(Look(), IsEmpty()) << "an editor may be about to put it back";
  auto changes = Look();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(absl::IsNotFound(changes[0].status)) << changes[0].status;
  EXPECT_THAT(Look(), IsEmpty());
  Write("second");
  Look();
  changes = Look();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].bytes, "second");
}

TEST_F(ResourceWatcherTest, AHugeFileIsNotRead) {
  Write(std::string(limits::kReloadableBytesMax + 1, 'x'));
  Look();
  const auto changes = Look();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_THAT(std::string(changes[0].status.message()), HasSubstr("of at most 4194304"));
}

}  // namespace
}  // namespace weir
