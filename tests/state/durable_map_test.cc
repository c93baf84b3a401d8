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

TEST(DurableMapTest, AProcessThatIsKilledHasLostNothingThatItPut) {
  TempDir dir;
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto map = DurableMap::Open(dir / "map");
    for (uint32_t i = 0; map.ok(); ++i) {
      if (!(*map)->Put("key", std::to_string(i)).ok()) _exit(1);
      if (write(told[1], &i, sizeof i) != sizeof i) _exit(1);
    }
    _exit(1);
  }
  uint32_t last = 0;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(read(told[0], &last, sizeof last), 4);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(told[1]);
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
