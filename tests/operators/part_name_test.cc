#include "operators/sinks/part_name.h"

#include <gtest/gtest.h>

#include "operators/partition_label.h"

namespace weir {
namespace {

Part Example() {
  Part part;
  part.directory = "/out";
  part.partition = "warehouse";
  part.job_id = "job-1";
  part.stage = "to_files";
  part.subtask = 3;
  part.attempt = 4'000'000'000;
  part.sequence = 12;
  part.checkpoint = 18'000'000'000'000'000'000u;
  part.bytes = 99;
  return part;
}

TEST(PartName, NamesAreReadBack) {
  const Part part = Example();
  const auto committed = ParseCommittedName(part.CommittedName());
  ASSERT_TRUE(committed);
  EXPECT_EQ(committed->CommittedName(), part.CommittedName());
  EXPECT_EQ(committed->checkpoint, part.checkpoint);
  EXPECT_EQ(committed->stage, "to_files");
  const auto pending = ParsePendingName(part.PendingName());
  ASSERT_TRUE(pending);
  EXPECT_EQ(pending->PendingName(), part.PendingName());
  EXPECT_FALSE(ParseCommittedName(part.PendingName()));
  EXPECT_FALSE(ParsePendingName(part.CommittedName()));
}

TEST(PartName, OtherNamesAreNotRead) {
  for (const char* name : {
           "",
           "part-",
           ".jsonl.zst",
           "part-.jsonl.zst",
           "part-00000.jsonl.zst",
           "part-j.s.s0.a1.c5.0.jsonl",
           "part-j.s.s0.a1.c5.0.jsonl.zst.1",
           "part-j.s.s0.a1.c5..jsonl.zst",
           "part-j.s.s0.a1.c5.0.0.jsonl.zst",
           "part-j.s.s0.a1.c5.jsonl.zst",
           "part-j.s.s00.a1.c5.0.jsonl.zst",
           "part-j.s.s-1.a1.c5.0.jsonl.zst",
           "part-j.s.s0.a4294967296.c5.0.jsonl.zst",
           "part-j.s.s0.a1.c0.0.jsonl.zst",
           "part-j.s.s0.a1.c18446744073709551616.0.jsonl.zst",
           "part-..s0.a1.c5.0.jsonl.zst",
           "part-j.s.a1.s0.c5.0.jsonl.zst",
           "part-j.s s.s0.a1.c5.0.jsonl.zst",
           "Part-j.s.s0.a1.c5.0.jsonl.zst",
           "part-j.s.s0.a1.c5.0x.jsonl.zst",
           "part-j.s.s0.a1.c+5.0.jsonl.zst",
       }) {
    EXPECT_FALSE(ParseCommittedName(name)) << name;
  }
  EXPECT_TRUE(ParseCommittedName("part-j.s.s0.a1.c5.0.jsonl.zst"));
}

TEST(PartName, HandleHoldsEverything) {
  const auto part = DecodeHandle(EncodeHandle(Example()));
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->CommittedPath(), Example().CommittedPath());
  EXPECT_EQ(part->PendingPath(), Example().PendingPath());
  EXPECT_EQ(part->bytes, 99u);
}

TEST(PartitionLabel, IsAFolderNameAndNothingElse) {
  for (const char* label : {"a", "A-1_b.c", "dead-letters", "-", "a..b", "a."}) {
    EXPECT_TRUE(IsPartitionLabel(label)) << label;
  }
  for (const char* label : {"", ".", "..", ".a", "a/b", "/", "a\\b", "a b", "ä", "a\n", "~a:"}) {
    EXPECT_FALSE(IsPartitionLabel(label)) << label;
  }
}

}  // namespace
}  // namespace weir
