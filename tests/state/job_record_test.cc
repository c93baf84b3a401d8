#include "state/job_record.h"

#include <fstream>

#include "tests/state/checkpoint_fixture.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JobRecordTest : public testing::CheckpointTest {
 protected:
  JobRecord Sample() {
    JobRecord record;
    record.job_id = NewJobId("flights", random_);
    record.identity = {"flights", "abcdef0123456789", {{"rules.yaml", "12"}}, {{"window", "24h"}}};
    record.state = RunState::kSuspended;
    record.attempt = 4;
    record.last_checkpoint = 12;
    record.result = std::string("\0\xff", 2);
    record.failure = "why";
    record.created = 5;
    record.updated = 6;
    return record;
  }
  JobRecords records_{disk_, dir_.path()};
};

TEST_F(JobRecordTest, ComesBackAsItWas) {
  EXPECT_THAT(*records_.LoadAll(), IsEmpty());
  JobRecord record = Sample();
  ASSERT_TRUE(records_.Save(record).ok());
  auto read = records_.Load(record.job_id);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Serialize(), record.Serialize());
  EXPECT_EQ(read->identity, record.identity);
  EXPECT_EQ(read->state, RunState::kSuspended);
  EXPECT_EQ(read->last_checkpoint, 12u);
  EXPECT_EQ(read->result, record.result);
  EXPECT_TRUE(read->unfinished());

  JobRecord earlier = Sample();
  earlier.created = 1;
  earlier.state = RunState::kFinished;
  ASSERT_TRUE(records_.Save(earlier).ok());
  // A folder whose first record was never written is no job.
  std::filesystem::create_directories(dir_ / "jobs/unborn");
  auto all = records_.LoadAll();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].job_id, earlier.job_id);
  EXPECT_FALSE((*all)[0].unfinished());
  EXPECT_TRUE(absl::IsNotFound(records_.Load("other").status()));
}

TEST_F(JobRecordTest, ATornOrChangedRecordIsDataLossThatNamesTheFile) {
  JobRecord record = Sample();
  ASSERT_TRUE(records_.Save(record).ok());
  const std::string path = records_.FolderOf(record.job_id) + "/job.pb";
  const std::string good = *ReadFile(disk_, path);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    ASSERT_TRUE(absl::IsDataLoss(JobRecord::Parse(bad, path).status())) << bit;
  }
  std::ofstream(path) << good.substr(0, good.size() / 2);
  Status status = records_.LoadAll().status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

TEST_F(JobRecordTest, DyingAtAnyStepLeavesTheOldRecordOrTheNew) {
  JobRecord before = Sample();
  JobRecord after = before;
  after.last_checkpoint = 13;
  bool dead = true;
  for (int step = 0; dead; ++step) {
    SCOPED_TRACE(step);
    Mend();
    std::filesystem::remove_all(dir_ / "jobs");
    KillAfter(step);
    Status first = records_.Save(before);
    Status second = records_.Save(after);
    dead = !first.ok() || !second.ok();
    Mend();
    auto all = records_.LoadAll();
    ASSERT_TRUE(all.ok()) << all.status();
    ASSERT_LE(all->size(), 1u);
    ASSERT_TRUE(!first.ok() || all->size() == 1u);
    if (!all->empty()) {
      EXPECT_TRUE((*all)[0].last_checkpoint == 13 ||
                  (!second.ok() && (*all)[0].last_checkpoint == 12));
    }
    ASSERT_LT(step, 50);
  }
}

TEST_F(JobRecordTest, RemembersWhichCheckpointsItWentBackBehind) {
  JobRecord record = Sample();  // the last is 12
  EXPECT_FALSE(record.MustRevokeAfter(12));
  record.GoBackTo(5);
  record.last_checkpoint = 14;
  ASSERT_TRUE(records_.Save(record).ok());
  record = *records_.Load(record.job_id);
  std::vector<CheckpointId> usable;
  for (CheckpointId id = 1; id <= 14; ++id) {
    if (!record.IsSuperseded(id)) usable.push_back(id);
  }
  EXPECT_THAT(usable, ElementsAre(1, 2, 3, 4, 5, 13, 14));
  EXPECT_TRUE(record.MustRevokeAfter(5)) << "it may have died before it had revoked";
  EXPECT_FALSE(record.MustRevokeAfter(13)) << "then it came past that";

  record.GoBackTo(13);
  record.last_checkpoint = 20;
  EXPECT_TRUE(record.IsSuperseded(12));
  EXPECT_FALSE(record.IsSuperseded(13));
  EXPECT_TRUE(record.IsSuperseded(14));
  EXPECT_FALSE(record.IsSuperseded(15));

  record.GoBackTo(0);  // --fresh
  EXPECT_EQ(record.superseded, (std::vector<JobRecord::Superseded>{{0, 20}}));
  EXPECT_TRUE(record.MustRevokeAfter(0));
  // Going back before any checkpoint was taken changes nothing.
  JobRecord young;
  young.GoBackTo(0);
  EXPECT_TRUE(young.superseded.empty());
}

TEST_F(JobRecordTest, SaysInWhatTwoIdentitiesDiffer) {
  JobIdentity was{
      "flights", "aaaaaaaaaaaaaaaa", {{"r.yaml", "1"}}, {{"window", "24h"}, {"out", "o"}}};
  EXPECT_THAT(Differences(was, was), IsEmpty());
  JobIdentity is{
      "flights", "bbbbbbbbbbbbbbbb", {{"s.yaml", "1"}}, {{"window", "1h"}, {"out", "o"}}};
  EXPECT_THAT(
      Differences(was, is),
      ElementsAre("job library: was aaaaaaaaaaaa..., is bbbbbbbbbbbb... (SHA-256)",
                  "resource r.yaml: was 1, is not given", "resource s.yaml: was not given, is 1",
                  "parameter window: was 24h, is 1h"));
}

TEST_F(JobRecordTest, JobIdsCanStandInFileNames) {
  EXPECT_THAT(NewJobId("flights", random_), ::testing::MatchesRegex("flights-[0-9a-f]{12}"));
  EXPECT_THAT(NewJobId("../Zügé b", random_), ::testing::MatchesRegex("[-a-z0-9_]+-[0-9a-f]{12}"));
  EXPECT_THAT(NewJobId("", random_), ::testing::MatchesRegex("job-[0-9a-f]{12}"));
  EXPECT_LE(NewJobId(std::string(1000, 'x'), random_).size(), 60u);
  EXPECT_NE(NewJobId("a", random_), NewJobId("a", random_));
}

TEST_F(JobRecordTest, HashesFiles) {
  std::ofstream(dir_ / "f") << "abc";
  EXPECT_EQ(*Sha256OfFile(disk_, dir_ / "f"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(absl::IsNotFound(Sha256OfFile(disk_, dir_ / "g").status()));
}

}  // namespace
}  // namespace weir
