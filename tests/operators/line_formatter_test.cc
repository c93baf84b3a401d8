#include "operators/sinks/line_formatter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/recording_output.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class Collector final : public LineWriter {
 public:
  explicit Collector(bool by_partition = true)
      : LineWriter({.block_bytes = 64,
                    .buffered_bytes_max = 1 << 20,
                    .partitions_max = 100,
                    .by_partition = by_partition}) {
    set_rejects(out);
  }
  std::map<std::string, std::string> Texts() {
    FlushAll();
    return texts_;
  }
  RecordingOutput out;

 private:
  void TakeLines(const LineBlock& block, Lines lines) override {
    EXPECT_TRUE(lines.bytes.ends_with('\n'));
    texts_[block.partition] += lines.bytes;
  }
  std::map<std::string, std::string> texts_;
};

struct Flight {
  std::string_view origin;
  int64_t delay = 0;
  BOOST_DESCRIBE_CLASS(Flight, (), (origin, delay), (), ())
};

std::string DeadLetterText(std::string_view record) {
  Batch<DeadLetter> batch;
  batch.Add({"dedup", "say \"why\"", record}, 0);
  Collector collector(false);
  DeadLetterLines().Format(batch, collector);
  return collector.Texts()[""];
}

TEST(DeadLetterLines, WritesTextAsItIs) {
  EXPECT_EQ(
      DeadLetterText("{\"a\":\n1"),
      "{\"operator\":\"dedup\",\"error\":\"say \\\"why\\\"\",\"record\":\"{\\\"a\\\":\\n1\"}\n");
  EXPECT_EQ(DeadLetterText(""),
            "{\"operator\":\"dedup\",\"error\":\"say \\\"why\\\"\",\"record\":\"\"}\n");
}

TEST(DeadLetterLines, WritesBytesThatAreNotUtf8InBase64) {
  EXPECT_THAT(DeadLetterText("\xff"), ::testing::HasSubstr("\"record_base64\":\"/w==\"}"));
  EXPECT_THAT(DeadLetterText("a\xff"), ::testing::HasSubstr("\"record_base64\":\"Yf8=\"}"));
  EXPECT_THAT(DeadLetterText("ab\xff"), ::testing::HasSubstr("\"record_base64\":\"YWL/\"}"));
  EXPECT_THAT(DeadLetterText(std::string("\0\xfe\xff\x01", 4)),
              ::testing::HasSubstr("\"record_base64\":\"AP7/AQ==\"}"));
}

TEST(JsonLines, WritesRowsAsTheirCodecDoesAndPartitionsThem) {
  Batch<Flight> batch;
  batch.Add({"ATL", 3}, 0);
  batch.Add({"ORD", -1}, 0);
  batch.Add({"ATL", 5}, 0);
  Collector collector;
  auto by_origin = [](const Flight& flight) { return flight.origin; };
  JsonLines<Flight, decltype(by_origin)> lines(by_origin);
  lines.Format(batch, collector);
  EXPECT_THAT(
      collector.Texts(),
      ElementsAre(
          Pair("ATL", "{\"origin\":\"ATL\",\"delay\":3}\n{\"origin\":\"ATL\",\"delay\":5}\n"),
          Pair("ORD", "{\"origin\":\"ORD\",\"delay\":-1}\n")));
}

TEST(LineWriter, TellsLabelsApartThatComeFromTheSameAddress) {
  Collector collector;
  std::string label = "aa";
  for (int i = 0; i < 1000; ++i) {
    label[1] = static_cast<char>('a' + i % 20);
    collector.Write(label, std::to_string(i), 0);
  }
  const auto texts = collector.Texts();
  ASSERT_EQ(texts.size(), 20u);
  EXPECT_TRUE(texts.at("ab").starts_with("1\n21\n41\n"));
}

}  // namespace
}  // namespace weir::testing
