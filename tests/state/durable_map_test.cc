#include "state/durable_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(DurableMapTest, KeepsWhatWasPutAndForgetsWhatWasRemoved) {
  TempDir dir;
  {
    auto map = DurableMap::Open(dir / "map");
    ASSERT_TRUE(map.ok()) << map.status();
    ASSERT_TRUE((*map)->Put("job/a", "1").ok());
    ASSERT_TRUE((*map)->Put("job/b", std::string("2\0", 2)).ok());
    ASSERT_TRUE((*map)->Put("other", "3").ok());
    ASSERT_TRUE((*map)->Put("job/a", "4").ok());
    ASSERT_TRUE((*map)->Remove("job/none").ok());
    EXPECT_TRUE(absl::IsUnavailable(DurableMap::Open(dir / "map").status()));
  }
  auto map = DurableMap::Open(dir / "map");
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_THAT(*(*map)->Load("job/"),
              ElementsAre(Pair("job/a", "4"), Pair("job/b", std::string("2\0", 2))));
  ASSERT_TRUE((*map)->Remove("job/a").ok());
  EXPECT_THAT(*(*map)->Load("job/"), ElementsAre(Pair("job/b", std::string("2\0", 2))));
}

// The limit of a file's size stands for the full disk.
TEST(DurableMapTest, IsWrittenAgainWhenThereIsRoomAgain) {
  TempDir dir;
  auto map = DurableMap::Open(dir / "map");
  ASSERT_TRUE(map.ok()) << map.status();
  ASSERT_TRUE((*map)->Put("before", "1").ok());
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{64 << 10, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string large(100 << 10, 'x');
  std::vector<Status> refused;
  for (int i = 0; i < 3; ++i) refused.push_back((*map)->Put("large", large));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  for (const Status& status : refused) EXPECT_FALSE(status.ok());

  ASSERT_TRUE((*map)->Put("behind", "2").ok());
  ASSERT_TRUE((*map)->Put("large", large).ok());
  map->reset();
  map = DurableMap::Open(dir / "map");
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_THAT(*(*map)->Load(""),
              ElementsAre(Pair("before", "1"), Pair("behind", "2"), Pair("large", large)));
}

// What the child of the next test does, until it is killed; a program of its own, since a process
// that has threads already cannot be forked and go on.
constexpr const char* kFolderOfChild = "WEIR_TEST_MAP";
constexpr int kTold = 3;

TEST(DurableMapTest, DISABLED_PutsForEver) {
  const char* folder = getenv(kFolderOfChild);
  ASSERT_NE(folder, nullptr);
  auto map = DurableMap::Open(folder);
  ASSERT_TRUE(map.ok()) << map.status();
  for (uint32_t i = 0;; ++i) {
    ASSERT_TRUE((*map)->Put("key", std::to_string(i)).ok());
    ASSERT_EQ(write(kTold, &i, sizeof i), sizeof i);
  }
}

TEST(DurableMapTest, AProcessThatIsKilledHasLostNothingThatItPut) {
  TempDir dir;
  setenv(kFolderOfChild, (dir / "map").c_str(), 1);
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(told[1], kTold);
    execl("/proc/self/exe", "state_tests", "--gtest_also_run_disabled_tests",
          "--gtest_filter=DurableMapTest.DISABLED_PutsForEver", nullptr);
    _exit(1);
  }
  close(told[1]);  // so that its end would be seen
  uint32_t last = 0;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(read(told[0], &last, sizeof last), 4);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  while (read(told[0], &last, sizeof last) == 4) {
  }
  close(told[0]);
  auto map = DurableMap::Open(dir / "map");
  ASSERT_TRUE(map.ok()) << map.status();
  const auto entries = *(*map)->Load("");
  EXPECT_GE(std::stoul(entries.at("key")), last);
}

}  // namespace
}  // namespace weir::testing
