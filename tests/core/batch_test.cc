#include "core/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>

namespace weir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Views = Batch<std::string_view>;

// Rows "<prefix>0", "<prefix>1", ... of ten bytes each, in one slab; times 0, 1, ...
BatchPtr MakeBatch(char prefix, size_t rows, bool keyed = false) {
  auto batch = std::make_unique<Views>();
  SlabBuilder builder(rows * 10);
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < rows; ++i) {
    std::string text = prefix + std::to_string(i);
    text.resize(10, '.');
    text.copy(builder.data() + i * 10, 10);
    batch->Add({builder.data() + i * 10, 10}, static_cast<Timestamp>(i));
    hashes.push_back(i * 100);
  }
  batch->slabs().Add(builder.Finish(rows * 10));
  batch->AddViewBytes(rows * 10);
  if (keyed) batch->set_key_hashes(hashes);
  return batch;
}

std::string Text(const BatchBase& batch) {
  std::string text;
  for (std::string_view row : Views::Of(batch).values()) {
    text += row.substr(0, row.find('.'));
    text += ' ';
  }
  return text;
}

void ExpectWhole(const BatchBase& batch) {
  EXPECT_EQ(Views::Of(batch).values().size(), batch.rows());
  EXPECT_EQ(batch.times().size(), batch.rows());
  EXPECT_TRUE(batch.key_hashes().empty() || batch.key_hashes().size() == batch.rows());
  EXPECT_EQ(batch.slabs().empty(), batch.empty());
}

TEST(BatchTest, SplittingSharesTheSlab) {
  BatchPtr rest = MakeBatch('a', 10, true);
  BatchPtr front = rest->SplitFront(4);
  ExpectWhole(*front);
  ExpectWhole(*rest);
  EXPECT_EQ(Text(*front), "a0 a1 a2 a3 ");
  EXPECT_EQ(Text(*rest), "a4 a5 a6 a7 a8 a9 ");
  EXPECT_THAT(front->times(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(rest->key_hashes()[0], 400u);
  EXPECT_EQ(front->slabs().slabs(), rest->slabs().slabs());
  EXPECT_EQ(front->slabs().slabs()[0].use_count(), 2) << "one reference for each batch";
  EXPECT_EQ(front->view_bytes() + rest->view_bytes(), 100u);
  rest.reset();
  EXPECT_EQ(Text(*front), "a0 a1 a2 a3 ");
}

TEST(BatchTest, SplittingNothingAndEverything) {
  BatchPtr batch = MakeBatch('a', 3);
  BatchPtr none = batch->SplitFront(0);
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(batch->rows(), 3u);
  BatchPtr all = batch->SplitFront(3);
  ExpectWhole(*all);
  EXPECT_TRUE(batch->empty());
  EXPECT_TRUE(batch->slabs().empty()) << "an empty batch keeps no memory";
  EXPECT_EQ(batch->bytes(), 0u);
  EXPECT_TRUE(batch->SplitFront(0)->empty());
}

TEST(BatchTest, AppendingUnitesSlabs) {
  BatchPtr a = MakeBatch('a', 2), b = MakeBatch('b', 3);
  a->Append(*b);
  ExpectWhole(*a);
  EXPECT_EQ(Text(*a), "a0 a1 b0 b1 b2 ");
  EXPECT_EQ(a->slabs().slabs().size(), 2u);
  EXPECT_EQ(a->view_bytes(), 50u);
  EXPECT_TRUE(b->empty());
  EXPECT_TRUE(b->slabs().empty());
  b = a->SplitFront(4);
  a->Append(*b);
  EXPECT_EQ(Text(*a), "b2 a0 a1 b0 b1 ");
  EXPECT_EQ(a->slabs().slabs().size(), 2u) << "a slab is held once";
}

TEST(BatchTest, AppendingToAnEmptyBatchAndAppendingAnEmptyBatch) {
  BatchPtr keyed = MakeBatch('a', 2, true);
  BatchPtr empty = keyed->NewEmpty();
  keyed->Append(*empty);
  EXPECT_EQ(keyed->rows(), 2u);
  empty->Append(*keyed);
  ExpectWhole(*empty);
  EXPECT_EQ(empty->key_hashes().size(), 2u);
  EXPECT_TRUE(keyed->empty());
  EXPECT_TRUE(keyed->key_hashes().empty());
}

TEST(BatchTest, ScatteringDealsOutRowsInOrder) {
  BatchPtr batch = MakeBatch('a', 6, true);
  std::vector<BatchPtr> targets(4);
  targets[2] = MakeBatch('z', 1, true);
  const std::vector<uint16_t> target = {0, 2, 0, 2, 3, 0};
  batch->Scatter(target, targets);
  EXPECT_TRUE(batch->empty());
  EXPECT_TRUE(batch->slabs().empty());
  EXPECT_EQ(Text(*targets[0]), "a0 a2 a5 ");
  EXPECT_EQ(targets[1], nullptr);
  EXPECT_EQ(Text(*targets[2]), "z0 a1 a3 ");
  EXPECT_EQ(Text(*targets[3]), "a4 ");
  for (int t : {0, 2, 3}) ExpectWhole(*targets[t]);
  EXPECT_THAT(targets[0]->times(), ElementsAre(0, 2, 5));
  EXPECT_THAT(targets[2]->key_hashes(), ElementsAre(0, 100, 300));
  EXPECT_EQ(targets[2]->slabs().slabs().size(), 2u);
  EXPECT_EQ(targets[0]->view_bytes(), 30u);
}

TEST(BatchTest, RetainingKeepsOrderAndColumns) {
  BatchPtr batch = MakeBatch('a', 5, true);
  batch->Retain(std::vector<uint8_t>{0, 1, 0, 1, 1});
  ExpectWhole(*batch);
  EXPECT_EQ(Text(*batch), "a1 a3 a4 ");
  EXPECT_THAT(batch->times(), ElementsAre(1, 3, 4));
  EXPECT_THAT(batch->key_hashes(), ElementsAre(100, 300, 400));
  EXPECT_EQ(batch->view_bytes(), 30u);
  batch->Retain(std::vector<uint8_t>{0, 0, 0});
  EXPECT_TRUE(batch->empty());
  EXPECT_TRUE(batch->slabs().empty());
  EXPECT_THAT(batch->key_hashes(), IsEmpty());
  batch->Retain({});
}

TEST(BatchTest, RowsThatOwnMemoryMoveWithTheirBatch) {
  Batch<std::string> batch;
  for (int i = 0; i < 100; ++i) batch.Add(std::string(50, static_cast<char>('a' + i % 26)), i);
  BatchPtr front = batch.SplitFront(60);
  batch.Retain(std::vector<uint8_t>(40, 1));
  batch.Append(*front);
  ASSERT_EQ(batch.rows(), 100u);
  EXPECT_EQ(batch[0], std::string(50, 'a' + 60 % 26));
  EXPECT_EQ(batch[40], std::string(50, 'a'));
}

TEST(BatchTest, WeighsRowsColumnsAndWhatTheyPointTo) {
  EXPECT_EQ(MakeBatch('a', 4)->bytes(), 4 * (sizeof(std::string_view) + 16) + 40);
}

TEST(BatchDeathTest, KeyHashesOfAnotherLengthAreABug) {
  BatchPtr batch = MakeBatch('a', 2);
  EXPECT_DEATH(batch->set_key_hashes({1}), "internal error");
}

TEST(SlabTest, BytesBehindTheEndAreReadable) {
  SlabPtr slab = CopyToSlab("");
  EXPECT_EQ(slab->size(), 0u);
  EXPECT_EQ(std::accumulate(slab->view().data(), slab->view().data() + 64, 0), 0);
}

TEST(SlabTest, ASetHoldsASlabOnce) {
  SlabSet set;
  SlabPtr slab = CopyToSlab("12345");
  set.Add(slab);
  set.Add(CopyToSlab("1"));
  set.Add(slab);
  EXPECT_EQ(set.slabs().size(), 2u);
  EXPECT_EQ(set.bytes(), 6u);
}

TEST(SlabTest, AnArenasViewsLiveWithTheSlabsItGaveAway) {
  SlabSet set;
  std::vector<std::string_view> views;
  {
    SlabArena arena;
    for (int i = 0; i < 5000; ++i) views.push_back(arena.Copy(std::to_string(i)));
    views.push_back(arena.Copy(std::string(200'000, 'x')));
    views.push_back(arena.Copy(""));
    arena.Release(set);
    views.push_back(arena.Copy("next"));
    arena.Release(set);
  }
  EXPECT_EQ(views[0], "0");
  EXPECT_EQ(views[4999], "4999");
  EXPECT_EQ(views[5000], std::string(200'000, 'x'));
  EXPECT_EQ(views[5002], "next");
}

}  // namespace
}  // namespace weir
