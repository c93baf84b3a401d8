// What a child process writes is kept in parts of which the oldest goes.
#include "runtime/worker/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "core/check.h"
#include "core/environment.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OutputFileTest : public ::testing::Test {
 protected:
  OutputFile Create() {
    StatusOr<OutputFile> file =
        OutputFile::Create(dir_ / "log", {.part_bytes_max = 100, .parts_max = 3});
    WEIR_CHECK(file.ok());
    return *std::move(file);
  }
  static void Write(const OutputFile& file, const std::string& text) {
    ASSERT_EQ(write(file.descriptor(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  std::string Part(const std::string& name) const {
    return ReadFile(disk_, dir_ / name).value_or("there is none");
  }

  TempDir dir_;
  Disk& disk_ = RealEnvironment().disk;
};

TEST_F(OutputFileTest, APartThatIsFullMakesRoomAndTheOldestGoes) {
  const OutputFile file = Create();
  for (int round = 0; round < 10; ++round) {
    Write(file, std::string(60, static_cast<char>('a' + round)));
    file.Bound();
  }
  EXPECT_THAT(*disk_.List(dir_.path()), ElementsAre("log", "log.1", "log.2"));
  EXPECT_EQ(Part("log.2"), std::string(40, 'g') + std::string(60, 'h'));
  EXPECT_EQ(Part("log.1"), std::string(40, 'i') + std::string(60, 'j'));
  EXPECT_EQ(Part("log"), "");
}

TEST_F(OutputFileTest, WhatFitsIsLeftAlone) {
  const OutputFile file = Create();
  Write(file, std::string(100, 'a'));
  file.Bound();
  EXPECT_THAT(*disk_.List(dir_.path()), ElementsAre("log"));
  EXPECT_EQ(Part("log").size(), 100u);
}

TEST_F(OutputFileTest, ItsEndReachesBackIntoThePartBefore) {
  const OutputFile file = Create();
  EXPECT_EQ(file.Tail(10), "");
  Write(file, std::string(99, 'a') + "bc");
  file.Bound();
  EXPECT_EQ(file.Tail(3), "abc");
  Write(file, "def");
  EXPECT_EQ(file.Tail(5), "bcdef");
  EXPECT_EQ(file.Tail(2), "ef");
  EXPECT_EQ(file.Tail(1000).size(), 103u);
}

TEST_F(OutputFileTest, AFolderThatIsNotThereIsTold) {
  const auto file = OutputFile::Create(dir_ / "nowhere/log");
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("nowhere/log"));
}

}  // namespace
}  // namespace weir::testing
