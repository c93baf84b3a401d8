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
  ASSERT_TRUE(objects_->RemoveLeftovers(0).ok());
  EXPECT_FALSE(FilesIn(".tmp").empty());
  ASSERT_TRUE(objects_->RemoveLeftovers(clock_.now).ok());
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
