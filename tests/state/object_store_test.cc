#include "state/object_store.h"

#include <fstream>

#include "tests/state/checkpoint_fixture.h"

namespace weir {
namespace {

class ObjectStoreTest : public testing::CheckpointTest {
 protected:
  std::vector<std::string> Names(const std::string& prefix) {
    auto list = objects_->List(prefix);
    EXPECT_TRUE(list.ok()) << list.status();
    std::vector<std::string> names;
    for (const ObjectInfo& object : *list) names.push_back(object.name);
    return names;
  }
};
using Names_ = std::vector<std::string>;

TEST_F(ObjectStoreTest, KeepsObjectsByName) {
  EXPECT_EQ(Names(""), Names_{});
  EXPECT_FALSE(*objects_->Exists("a/b"));
  EXPECT_TRUE(absl::IsNotFound(objects_->Get("a/b").status()));
  ASSERT_TRUE(objects_->Put("a/b", "one").ok());
  ASSERT_TRUE(objects_->Put("a/b", "two").ok());
  ASSERT_TRUE(objects_->Put("a/c/d", "").ok());
  ASSERT_TRUE(objects_->Put("ab", std::string(3 << 20, 'x')).ok());
  EXPECT_EQ(*objects_->Get("a/b"), "two");
  EXPECT_EQ(*objects_->Get("a/c/d"), "");
  EXPECT_EQ(objects_->Get("ab")->size(), size_t{3} << 20);
  EXPECT_TRUE(*objects_->Exists("a/b"));
  EXPECT_FALSE(*objects_->Exists("a"));
  EXPECT_EQ(Names(""), (Names_{"a/b", "a/c/d", "ab"}));
  EXPECT_EQ(Names("a"), (Names_{"a/b", "a/c/d", "ab"}));
  EXPECT_EQ(Names("a/"), (Names_{"a/b", "a/c/d"}));
  EXPECT_EQ(Names("a/c"), (Names_{"a/c/d"}));
  EXPECT_EQ(Names("b/"), Names_{});

  const Names_ gone{"ab", "nothing", "a/b"};
  ASSERT_TRUE(objects_->Delete(gone).ok());
  EXPECT_EQ(Names(""), (Names_{"a/c/d"}));
  ASSERT_TRUE(objects_->DeletePrefix("a/").ok());
  ASSERT_TRUE(objects_->DeletePrefix("a/").ok());
  EXPECT_EQ(Names(""), Names_{});
  ASSERT_TRUE(objects_->Put("a/c/d", "again").ok());
}

TEST_F(ObjectStoreTest, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {"", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a b", "a\\b",
                           ".tmp/x", "\xc3\xa4"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(objects_->Put(name, "x"))) << name;
    EXPECT_TRUE(absl::IsInvalidArgument(objects_->Get(name).status())) << name;
    EXPECT_TRUE(absl::IsInvalidArgument(objects_->Fetch(name, dir_ / "f"))) << name;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(objects_->DeletePrefix("../")));
  EXPECT_TRUE(absl::IsInvalidArgument(objects_->DeletePrefix("a")));
}

TEST_F(ObjectStoreTest, FilesComeInAndGoOutAsLinks) {
  const std::string local = dir_ / "local";
  std::ofstream(local) << std::string(1 << 20, 'q');  // to the byte one read
  for (int times = 0; times < 2; ++times) {
    ASSERT_TRUE(objects_->PutFile("x/file", local).ok());
    EXPECT_EQ(std::filesystem::hard_link_count(local), 2u);
  }
  EXPECT_TRUE(FilesIn(".tmp").empty());
  std::filesystem::remove(local);
  EXPECT_EQ(*objects_->Get("x/file"), std::string(1 << 20, 'q'));

  ASSERT_TRUE(objects_->Fetch("x/file", dir_ / "fetched").ok());
  EXPECT_EQ(std::filesystem::hard_link_count(dir_ / "fetched"), 2u);
  EXPECT_TRUE(absl::IsAlreadyExists(objects_->Fetch("x/file", dir_ / "fetched")));
  disk_.FailFrom("link", 0);  // another file system
  ASSERT_TRUE(objects_->Fetch("x/file", dir_ / "copied").ok());
  EXPECT_EQ(std::filesystem::hard_link_count(dir_ / "copied"), 1u);
  EXPECT_EQ(std::filesystem::file_size(dir_ / "copied"), 1u << 20);
  ASSERT_TRUE(objects_->PutFile("x/copy", dir_ / "copied").ok());
  EXPECT_EQ(std::filesystem::hard_link_count(dir_ / "copied"), 1u);
  EXPECT_EQ(*objects_->Get("x/copy"), std::string(1 << 20, 'q'));
  EXPECT_TRUE(absl::IsNotFound(objects_->PutFile("x/other", dir_ / "nothing")));
  EXPECT_TRUE(absl::IsNotFound(objects_->Fetch("x/other", dir_ / "f")));
}

TEST_F(ObjectStoreTest, AnObjectIsWholeOrNotThereWhereverItsWriterDies) {
  ASSERT_TRUE(objects_->Put("a/x", "old").ok());
  const std::string fresh(100'000, 'n');
  for (int step = 0;; ++step) {
    SCOPED_TRACE(step);
    Reopen();
    KillAfter(step);
    Status replaced = objects_->Put("a/x", fresh);
    Status added = objects_->Put("b/y", fresh);
    Mend();
    std::string x = *objects_->Get("a/x");
    EXPECT_TRUE(x == fresh || x == "old");
    EXPECT_TRUE(!replaced.ok() || x == fresh);
    auto y = objects_->Get("b/y");
    EXPECT_TRUE(!added.ok() || y.ok());
    EXPECT_TRUE(!y.ok() || *y == fresh);
    for (const std::string& name : Names("")) EXPECT_TRUE(name == "a/x" || name == "b/y") << name;
    if (replaced.ok() && added.ok()) break;
    ASSERT_LT(step, 100);
    ASSERT_TRUE(objects_->Put("a/x", "old").ok());
    ASSERT_TRUE(objects_->DeletePrefix("b/").ok());
  }
  EXPECT_FALSE(FilesIn(".tmp").empty());
  ASSERT_TRUE(objects_->RemoveLeftovers(0, {}).ok());
  EXPECT_FALSE(FilesIn(".tmp").empty());
  ASSERT_TRUE(objects_->RemoveLeftovers(clock_.now, {}).ok());
  EXPECT_TRUE(FilesIn(".tmp").empty());
}

TEST_F(ObjectStoreTest, WhatAnAttemptThatIsOverLeftGoesThoughItIsNew) {
  const auto die_as = [&](const ObjectWriter& writer) {
    LocalObjectStore objects(env_, dir_.path(), writer);
    disk_.SetFault([](std::string_view action, const std::string&) {
      return action == "create" || action == "mkdir" || action == "syncdir"
                 ? absl::OkStatus()
                 : absl::UnavailableError("killed");
    });
    EXPECT_FALSE(objects.Put("a/x", "bytes").ok());
    Mend();
  };
  const auto left = [&] {
    std::vector<std::string> writers;
    for (const std::string& name : FilesIn(".tmp"))
      writers.push_back(name.substr(0, name.rfind('@')));
    return writers;
  };
  const std::vector<ObjectWriter> writers = {{"job-1", 2},  {"job-1", 3},  {"job-1", 4},
                                             {"job-1", 30}, {"job-10", 1}, {"job", 1}};
  for (const ObjectWriter& writer : writers) die_as(writer);
  die_as({});
  ASSERT_EQ(FilesIn(".tmp").size(), writers.size() + 1);
  ASSERT_TRUE(objects_->RemoveLeftovers(0, {"job-1", 0}).ok());
  ASSERT_EQ(FilesIn(".tmp").size(), writers.size() + 1);
  ASSERT_TRUE(objects_->RemoveLeftovers(0, {"job-1", 3}).ok());
  EXPECT_EQ(FilesIn(".tmp").size(), writers.size() - 1);
  for (const char* kept : {"job-1@4", "job-1@30", "job-10@1", "job@1"}) {
    const std::vector<std::string> names = left();
    EXPECT_EQ(std::count(names.begin(), names.end(), kept), 1) << kept;
  }
}

// It stood still, say, and does not know that it is over.
TEST_F(ObjectStoreTest, AnAttemptThatIsOverCannotFinishWhatWasRemoved) {
  LocalObjectStore late(env_, dir_.path(), {"job-1", 3});
  const std::string local = dir_ / "local";
  std::ofstream(local) << "bytes";
  // Another process, in the middle of its upload.
  LocalObjectStore coordinator(RealEnvironment(), dir_.path());
  disk_.SetFault([&](std::string_view action, const std::string&) {
    return action == "rename" ? coordinator.RemoveLeftovers(0, {"job-1", 3}) : absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsNotFound(late.PutFile("a/x", local)));
  Mend();
  EXPECT_EQ(Names(""), Names_{"local"});
  EXPECT_TRUE(FilesIn(".tmp").empty());
}

TEST_F(ObjectStoreTest, AFullDiskLeavesNothingBehind) {
  disk_.FailFrom("append", 0);
  EXPECT_TRUE(absl::IsResourceExhausted(objects_->Put("a/x", "bytes")));
  EXPECT_EQ(Names(""), Names_{});
  EXPECT_TRUE(FilesIn(".tmp").empty());
}

TEST_F(ObjectStoreTest, SyncsBytesBeforeTheNameAndTheNameBeforeItReturns) {
  std::vector<std::string> actions;
  disk_.SetFault([&](std::string_view action, const std::string& path) {
    std::string tail = path.starts_with(dir_.path()) ? path.substr(dir_.path().size()) : path;
    if (tail.starts_with("/.tmp/")) tail = "/.tmp/...";
    actions.push_back(std::string(action) + " " + tail);
    return absl::OkStatus();
  });
  ASSERT_TRUE(objects_->Put("a/x", "bytes").ok());
  actions.clear();
  ASSERT_TRUE(objects_->Put("a/y", "bytes").ok());
  EXPECT_EQ(actions, (Names_{"create /.tmp/...", "append /.tmp/...", "sync /.tmp/...",
                             "close /.tmp/...", "rename /a/y", "syncdir /a"}));
  actions.clear();
  ASSERT_TRUE(objects_->Put("b/x", "bytes").ok());
  EXPECT_EQ(std::count(actions.begin(), actions.end(), "syncdir "), 1) << "the name b is synced";
}

}  // namespace
}  // namespace weir
