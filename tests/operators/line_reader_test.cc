#include "operators/sources/line_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/operators/line_source_harness.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using testing::Gzip;
using ::testing::HasSubstr;
using testing::Zstd;
using Got = LineReader::Got;

class LineReaderTest : public ::testing::Test {
 protected:
  std::unique_ptr<ByteStream> Plain(std::string_view bytes, uint64_t offset = 0) {
    return NewPlainStream(File(bytes), offset, bytes.size());
  }
  class MemoryFile final : public ReadableFile {
   public:
    explicit MemoryFile(std::string_view bytes) : bytes_(bytes) {}
    StatusOr<size_t> ReadAt(uint64_t offset, char* buffer, size_t n) override {
      return bytes_.copy(buffer, n, std::min<uint64_t>(offset, bytes_.size()));
    }

   private:
    const std::string bytes_;
  };
  std::unique_ptr<ReadableFile> File(std::string_view bytes) {
    return std::make_unique<MemoryFile>(bytes);
  }
  // Everything the reader gives, one text each: a line as it is, "<offset+length:head>" of a long
  // one, "!damage@offset|rest".
  static std::vector<std::string> ReadAll(LineReader& reader, size_t lines_max = 3) {
    std::vector<std::string> all;
    uint64_t offset = reader.next_offset();
    for (;;) {
      auto got = reader.Next(lines_max);
      EXPECT_TRUE(got.ok()) << got.status();
      const auto& cut = reader.cut();
      switch (*got) {
        case Got::kNothing:
          break;
        case Got::kLines:
          EXPECT_LE(reader.lines().size(), lines_max);
          for (const Line& line : reader.lines()) {
            EXPECT_GE(line.offset, offset);
            offset = line.offset + line.text.size();
            all.emplace_back(line.text);
          }
          break;
        case Got::kLongLine:
          all.push_back(fmt::format("<{}+{}:{}>", cut.offset, cut.length, cut.head.substr(0, 8)));
          break;
        case Got::kDamage:
          all.push_back(
              fmt::format("!{}@{}|{}", reader.damage(), reader.damage_offset(), cut.head));
          break;
        case Got::kEnd:
          EXPECT_EQ(*reader.Next(lines_max), Got::kEnd);
          return all;
      }
    }
  }
  std::vector<std::string> ReadAll(std::unique_ptr<ByteStream> stream,
                                   LineReaderOptions options = {}) {
    LineReader reader(std::move(stream), options);
    return ReadAll(reader);
  }
};

TEST_F(LineReaderTest, GivesLinesByteForByte) {
  using namespace std::string_view_literals;
  EXPECT_THAT(ReadAll(Plain("")), ElementsAre());
  EXPECT_THAT(ReadAll(Plain("\n")), ElementsAre(""));
  EXPECT_THAT(ReadAll(Plain("a")), ElementsAre("a"));
  EXPECT_THAT(ReadAll(Plain("a\nb")), ElementsAre("a", "b"));
  EXPECT_THAT(ReadAll(Plain("a\r\n\nb\xff\n")), ElementsAre("a\r", "", "b\xff"));
  EXPECT_THAT(ReadAll(Plain("a\0b\n"sv)), ElementsAre(std::string("a\0b", 3)));
}

TEST_F(LineReaderTest, GivesLinesThatSimdParsersMayReadBehind) {
  LineReader reader(Plain("{\"a\":1}"), {});
  ASSERT_EQ(*reader.Next(10), Got::kLines);
  const std::string_view line = reader.lines()[0].text;
  const std::string_view slab = reader.slab()->view();
  EXPECT_GE(line.data(), slab.data());
  EXPECT_LE(line.data() + line.size(), slab.data() + slab.size());
}

TEST_F(LineReaderTest, ReadsAllMembersAndFrames) {
  EXPECT_THAT(ReadAll(NewGzipStream(File(Gzip("a\nb") + Gzip("") + Gzip("c\nd\n")))),
              ElementsAre("a", "bc", "d"));
  EXPECT_THAT(ReadAll(NewZstdStream(File(Zstd("a\nb") + Zstd("") + Zstd("c\nd\n")))),
              ElementsAre("a", "bc", "d"));
  EXPECT_THAT(ReadAll(NewGzipStream(File(""))), ElementsAre());
  EXPECT_THAT(ReadAll(NewZstdStream(File(""))), ElementsAre());
  EXPECT_THAT(ReadAll(NewGzipStream(File(Gzip("a\n") + std::string(300'000, '\0')))),
              ElementsAre("a"));
  EXPECT_THAT(ReadAll(NewGzipStream(File(Gzip("a\n") + std::string(300'000, '\0') + Gzip("b")))),
              ElementsAre("a", "b"));
}

TEST_F(LineReaderTest, SaysWhereCompressedDataEndTooEarly) {
  std::string content;
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) content += fmt::format("line {} {}\n", i, random());
  std::vector<std::string> want;
  for (size_t at = 0; at < content.size();) {
    const size_t end = content.find('\n', at);
    want.push_back(content.substr(at, end - at));
    at = end + 1;
  }
  for (bool gzip : {true, false}) {
    const std::string whole = gzip ? Gzip(content) : Zstd(content);
    for (size_t cut : {size_t{1}, size_t{5}, whole.size() / 2, whole.size() - 1}) {
      auto file = File(std::string_view(whole).substr(0, cut));
      auto stream = gzip ? NewGzipStream(std::move(file)) : NewZstdStream(std::move(file));
      LineReader reader(std::move(stream), {});
      auto got = ReadAll(reader, 1000);
      ASSERT_FALSE(got.empty());
      EXPECT_THAT(got.back(), HasSubstr(gzip ? "!the gzip data end in the middle@"
                                             : "!the zstd data end in the middle@"));
      // Everything in front of it has come out: the complete lines, then the rest in the letter.
      const std::string rest = got.back().substr(got.back().find('|') + 1);
      got.pop_back();
      size_t bytes = rest.size();
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i], want[i]);
        bytes += got[i].size() + 1;
      }
      EXPECT_EQ(bytes, reader.damage_offset());
      EXPECT_EQ(content.substr(bytes - rest.size(), rest.size()), rest);
      EXPECT_TRUE(cut != whole.size() / 2 || bytes > content.size() / 4) << bytes;
      EXPECT_TRUE(cut != whole.size() - 1 || bytes > content.size() - 300'000) << bytes;
    }
  }
}

TEST_F(LineReaderTest, SaysWhereCompressedDataAreBroken) {
  std::string content;
  std::mt19937_64 random(2);
  for (int i = 0; i < 20'000; ++i) content += fmt::format("line {} {}\n", i, random());
  for (bool gzip : {true, false}) {
    std::string bytes = gzip ? Gzip(content) : Zstd(content);
    for (size_t i = bytes.size() / 2; i < bytes.size() / 2 + 64; ++i) bytes[i] ^= 0x5A;
    auto stream = gzip ? NewGzipStream(File(bytes)) : NewZstdStream(File(bytes));
    LineReader reader(std::move(stream), {});
    const auto got = ReadAll(reader, 1000);
    EXPECT_THAT(got.back(), HasSubstr(gzip ? "!the gzip data are broken at byte "
                                           : "!the zstd data are broken at byte "));
    EXPECT_GT(got.size(), 1'000u);
  }
  EXPECT_THAT(ReadAll(NewGzipStream(File("no gzip at all"))),
              ElementsAre(HasSubstr("!the gzip data are broken at byte ")));
  EXPECT_THAT(ReadAll(NewZstdStream(File("no zstd at all"))),
              ElementsAre(HasSubstr("!the zstd data are broken at byte ")));
  EXPECT_THAT(ReadAll(NewGzipStream(File(Gzip("a\nb") + "rubbish"))),
              ElementsAre("a", HasSubstr("|b")));
}

TEST_F(LineReaderTest, CutsLinesThatAreTooLong) {
  LineReaderOptions options;
  options.line_bytes_max = 10;
  for (size_t chunk : {1, 3, 7, 11, 100}) {
    options.chunk_bytes = chunk;
    EXPECT_THAT(ReadAll(Plain("0123456789\nabcdefghijk\nx\n" + std::string(50, 'z')), options),
                ElementsAre("0123456789", "<11+11:abcdefgh>", "x", "<25+50:zzzzzzzz>"))
        << chunk;
    EXPECT_THAT(
        ReadAll(Plain(std::string(30, 'a') + "\n\n" + std::string(11, 'b') + "\n"), options),
        ElementsAre("<0+30:aaaaaaaa>", "", "<32+11:bbbbbbbb>"))
        << chunk;
  }
}

TEST_F(LineReaderTest, KeepsTheHeadOfALongLineAndLittleMemory) {
  LineReaderOptions options;
  options.line_bytes_max = 100'000;
  options.chunk_bytes = 4'096;
  LineReader reader(Plain(std::string(3'000'000, 'x') + "\nend"), options);
  int nothing = 0;
  for (;;) {
    auto got = reader.Next(10);
    ASSERT_TRUE(got.ok());
    if (*got == Got::kLongLine) break;
    ASSERT_EQ(*got, Got::kNothing);
    // A restart would begin with the line again.
    EXPECT_EQ(reader.next_offset(), 0u);
    EXPECT_LE(reader.slab()->size(), 2 * options.line_bytes_max + options.chunk_bytes);
    ++nothing;
  }
  EXPECT_GT(nothing, 100);
  EXPECT_EQ(reader.cut().length, 3'000'000u);
  EXPECT_EQ(reader.cut().head.size(), limits::kDeadLetterRecordBytesMax);
  EXPECT_EQ(reader.next_offset(), 3'000'001u);
  EXPECT_THAT(ReadAll(reader), ElementsAre("end"));
}

// Whatever the chunks and ranges are, each line comes out once, from the range in which it starts.
TEST_F(LineReaderTest, DealsEachLineToTheRangeInWhichItStarts) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string content;
    const size_t size = random() % 200;
    const char* alphabet = round % 2 == 0 ? "ab\n" : "abcdefghijklmnop\n";
    while (content.size() < size) content += alphabet[random() % std::strlen(alphabet)];
    LineReaderOptions options;
    options.line_bytes_max = 20;
    std::vector<std::string> want = ReadAll(Plain(content), options);

    const uint64_t range = 1 + random() % 40;
    std::vector<std::string> got;
    for (uint64_t start = 0; start < content.size(); start += range) {
      options.chunk_bytes = 1 + random() % 50;
      options.end = std::min<uint64_t>(start + range, content.size());
      options.skip_to_line = start > 0;
      LineReader reader(Plain(content, start > 0 ? start - 1 : 0), options);
      for (auto& line : ReadAll(reader, 1 + random() % 5)) got.push_back(std::move(line));
    }
    ASSERT_EQ(got, want) << "range " << range << " of\n" << content;
  }
}

TEST_F(LineReaderTest, GoesOnFromAnyLine) {
  const std::string content = "first\nsecond\n\nthird\nlast";
  for (bool compressed : {false, true}) {
    for (size_t chunk : {1, 4, 100}) {
      LineReaderOptions options;
      options.chunk_bytes = chunk;
      uint64_t offset = 0;
      std::vector<std::string> got;
      for (;;) {
        // A new reader for each line.
        options.start = offset;
        auto stream = compressed ? NewZstdStream(File(Zstd(content))) : Plain(content, offset);
        LineReader reader(std::move(stream), options);
        EXPECT_EQ(reader.next_offset(), offset);
        Got result;
        while ((result = *reader.Next(1)) == Got::kNothing) EXPECT_EQ(reader.next_offset(), offset);
        if (result == Got::kEnd) break;
        got.emplace_back(reader.lines()[0].text);
        offset = reader.next_offset();
      }
      EXPECT_THAT(got, ElementsAre("first", "second", "", "third", "last"));
    }
  }
}

}  // namespace
}  // namespace weir
