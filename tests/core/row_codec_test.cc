#include "core/row_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/describe/class.hpp>
#include <random>

#include "core/event.h"

namespace weir {
namespace {

struct Row {
  std::string_view text;
  int64_t number = 0;
  BOOST_DESCRIBE_CLASS(Row, (), (text, number), (), ())
};
struct NewerRow {
  std::string added = "-";
  std::string text;
  BOOST_DESCRIBE_CLASS(NewerRow, (), (added, text), (), ())
};

BatchPtr MakeBatch(size_t rows, bool keyed) {
  auto batch = std::make_unique<Batch<Row>>();
  SlabArena arena;
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < rows; ++i) {
    std::string text = "row " + std::to_string(i);
    batch->AddViewBytes(text.size());
    batch->Add({arena.Copy(text), -static_cast<int64_t>(i)},
               i % 3 == 0 ? kMinTimestamp : kMaxTimestamp - static_cast<int64_t>(i));
    hashes.push_back(~i);
  }
  arena.Release(batch->slabs());
  if (keyed) batch->set_key_hashes(hashes);
  return batch;
}

std::string Encode(const RowCodec& codec, const BatchBase& batch) {
  std::string bytes;
  codec.EncodeBatch(batch, bytes);
  return bytes;
}

TEST(RowCodecTest, BatchesSurviveARoundTrip) {
  auto codec = MakeRowCodec<Row>();
  for (size_t rows : {0, 1, 7, 1000}) {
    for (bool keyed : {false, true}) {
      BatchPtr batch = MakeBatch(rows, keyed);
      StatusOr<BatchPtr> read = codec->DecodeBatch(CopyToSlab(Encode(*codec, *batch)));
      ASSERT_TRUE(read.ok()) << read.status();
      ASSERT_EQ((*read)->rows(), rows);
      EXPECT_THAT((*read)->times(), testing::ElementsAreArray(batch->times()));
      EXPECT_THAT((*read)->key_hashes(), testing::ElementsAreArray(batch->key_hashes()));
      EXPECT_EQ((*read)->bytes(), batch->bytes());
      for (size_t i = 0; i < rows; ++i) {
        EXPECT_EQ(Batch<Row>::Of(**read)[i].text, Batch<Row>::Of(*batch)[i].text);
        EXPECT_EQ(Batch<Row>::Of(**read)[i].number, Batch<Row>::Of(*batch)[i].number);
      }
    }
  }
}

TEST(RowCodecTest, TornAndLengthenedBytesAreRefused) {
  auto codec = MakeRowCodec<Row>();
  const std::string bytes = Encode(*codec, *MakeBatch(5, true));
  for (size_t n = 0; n < bytes.size(); ++n) {
    StatusOr<BatchPtr> read = codec->DecodeBatch(CopyToSlab(bytes.substr(0, n)));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << "cut at " << n;
  }
  EXPECT_FALSE(codec->DecodeBatch(CopyToSlab(bytes + "x")).ok());
}

TEST(RowCodecTest, HostileBytesAreRefusedOrReadWithinTheirBounds) {
  auto codec = MakeRowCodec<Event>();
  Batch<Event> batch;
  for (int i = 0; i < 10; ++i) batch.Add({"id", "tenant", "type", "", "payload", i, i}, i);
  const std::string good = Encode(*codec, batch);
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (int flips = 1 + round % 3; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    StatusOr<BatchPtr> read = codec->DecodeBatch(CopyToSlab(bytes));
    if (read.ok()) {
      EXPECT_EQ((*read)->rows(), Batch<Event>::Of(**read).values().size());
    }
  }
}

TEST(RowCodecTest, AnInventedRowCountIsALieNotAnAllocation) {
  auto codec = MakeRowCodec<Row>();
  for (char keyed : {0, 1}) {
    std::string bytes;
    PutVarint(uint64_t{1} << 60, bytes);
    bytes += keyed;
    bytes += std::string(100, '\0');
    EXPECT_FALSE(codec->DecodeBatch(CopyToSlab(bytes)).ok());
  }
}

TEST(RowCodecTest, ABatchOfAnOlderSchemaIsReadByName) {
  auto older = MakeRowCodec<Row>();
  auto newer = MakeRowCodec<NewerRow>();
  BatchPtr batch = MakeBatch(3, true);
  StatusOr<BatchPtr> read =
      newer->DecodeBatchAs(older->schema(), CopyToSlab(Encode(*older, *batch)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(Batch<NewerRow>::Of(**read)[2].text, "row 2");
  EXPECT_EQ(Batch<NewerRow>::Of(**read)[2].added, "-");
  EXPECT_THAT((*read)->key_hashes(), testing::ElementsAreArray(batch->key_hashes()));
}

TEST(RowCodecTest, ARowIsOneJsonDocument) {
  auto codec = MakeRowCodec<Row>();
  JsonWriter writer;
  codec->WriteJson(*MakeBatch(3, false), 2, writer);
  EXPECT_EQ(writer.text(), R"({"text":"row 2","number":-2})");
}

// A batch whose rows point to a few bytes of a large slab.
BatchPtr SparseBatch(size_t slab_bytes, size_t row_bytes) {
  auto batch = std::make_unique<Batch<Row>>();
  SlabPtr slab = CopyToSlab(std::string(slab_bytes, 'x'));
  batch->Add({slab->view().substr(17, row_bytes), 1}, 99);
  batch->slabs().Add(std::move(slab));
  batch->AddViewBytes(row_bytes);
  batch->set_key_hashes({77});
  return batch;
}

TEST(RowCodecTest, ABatchThatKeepsFewBytesOfLargeSlabsCompactsItself) {
  auto codec = MakeRowCodec<Row>();
  BatchPtr batch = SparseBatch(1 << 20, 100);
  codec->CompactIfSparse(batch);
  EXPECT_LT(batch->slabs().bytes(), 200u);
  ASSERT_EQ(batch->rows(), 1u);
  EXPECT_EQ(Batch<Row>::Of(*batch)[0].text, std::string(100, 'x'));
  EXPECT_EQ(batch->times()[0], 99);
  EXPECT_EQ(batch->key_hashes()[0], 77u);
  EXPECT_EQ(batch->view_bytes(), 100u);
}

TEST(RowCodecTest, ADenseOrSmallBatchStaysAsItIs) {
  auto codec = MakeRowCodec<Row>();
  for (BatchPtr& batch : std::array{SparseBatch(1 << 20, 1 << 18), SparseBatch(1 << 15, 10)}) {
    const char* before = Batch<Row>::Of(*batch)[0].text.data();
    codec->CompactIfSparse(batch);
    EXPECT_EQ(Batch<Row>::Of(*batch)[0].text.data(), before);
  }
}

}  // namespace
}  // namespace weir
