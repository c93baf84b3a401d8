#include "operators/sinks/part_name.h"

#include <gtest/gtest.h>

#include "core/codec.h"
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
           "part-j.s.s0.a1.c5.0.json",
           "part-j.s.s0.a1.c5.0.jsonl.bz2",
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

TEST(PartName, TheEndingIsTheCompressions) {
  for (PartCompression compression : kPartCompressions) {
    Part part = Example();
    part.compression = compression;
    EXPECT_TRUE(part.CommittedName().ends_with(SuffixOf(compression)));
    EXPECT_EQ(ParseCommittedName(part.CommittedName())->compression, compression);
    EXPECT_EQ(ParsePendingName(part.PendingName())->compression, compression);
  }
}

TEST(PartName, TimesAreFoldersOfWhatIsCommittedAndRevoked) {
  Part part = Example();
  part.time_path = "date=2026-11-22/hour=09";
  EXPECT_EQ(part.Folder(), "/out/warehouse/date=2026-11-22/hour=09");
  EXPECT_EQ(part.PendingFolder(), "/out/warehouse/.pending");
  EXPECT_EQ(part.RevokedFolder(), "/out/warehouse/.revoked/date=2026-11-22/hour=09");
  part.partition = "";
  EXPECT_EQ(part.Folder(), "/out/date=2026-11-22/hour=09");
}

// A handle as checkpoints of version 0.1 hold them.
struct FirstPart {
  std::string directory, partition, job_id, stage;
  uint32_t subtask = 0, attempt = 0;
  uint64_t sequence = 0, checkpoint = 0, bytes = 0;
  BOOST_DESCRIBE_CLASS(FirstPart, (),
                       (directory, partition, job_id, stage, subtask, attempt, sequence, checkpoint,
                        bytes),
                       (), ())
};

TEST(PartName, HandlesOfEarlierCheckpointsAreRead) {
  std::string handle;
  PutBytes("file-sink/1", handle);
  Codec<FirstPart>::Encode({"/out", "warehouse", "job-1", "files", 3, 4, 5, 6, 7}, handle);
  const auto part = DecodeHandle(handle);
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->CommittedPath(), "/out/warehouse/part-job-1.files.s3.a4.c6.5.jsonl.zst");
  EXPECT_EQ(part->PendingPath(),
            "/out/warehouse/.pending/part-job-1.files.s3.a4.5.jsonl.zst.pending");
  EXPECT_EQ(part->bytes, 7u);
  EXPECT_EQ(part->rows, 0u);
}

TEST(PartName, AHandleThatLeadsElsewhereIsDamaged) {
  for (const char* path : {"..", "/etc", "a=1/../b=2", ".pending"}) {
    Part part = Example();
    part.time_path = path;
    EXPECT_FALSE(DecodeHandle(EncodeHandle(part)).ok()) << path;
  }
  Part part = Example();
  part.compression = static_cast<PartCompression>(3);
  EXPECT_FALSE(DecodeHandle(EncodeHandle(part)).ok());
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
