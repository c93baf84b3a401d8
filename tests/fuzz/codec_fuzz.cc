// Codec<T>, RowCodec and Schema on bytes that somebody else wrote, by this schema or by another.
#include <boost/describe/class.hpp>
#include <string>

#include "core/check.h"
#include "core/row_codec.h"
#include "tests/fuzz/fuzz_input.h"

namespace weir {
namespace {

enum class Colour { kRed, kGreen };

struct Part {
  std::string_view name;
  std::optional<double> weight;
  BOOST_DESCRIBE_CLASS(Part, (), (name, weight), (), ())
};

struct Nothing {
  BOOST_DESCRIBE_CLASS(Nothing, (), (), (), ())
};

struct Whole {
  bool flag = false;
  int64_t number = 0;
  uint32_t count = 0;
  Colour colour = Colour::kRed;
  float ratio = 0;
  std::string text;
  std::vector<Part> parts;
  std::map<std::string, std::vector<int>> lists;
  std::tuple<int, std::string_view> pair;
  Nothing nothing;
  std::vector<std::optional<Nothing>> nothings;
  BOOST_DESCRIBE_CLASS(Whole, (),
                       (flag, number, count, colour, ratio, text, parts, lists, pair, nothing,
                        nothings),
                       (), ())
};
WEIR_RENAMED(Whole, text, "words")

void Value(std::string_view bytes) {
  ByteReader in(bytes);
  Whole value;
  if (!Codec<Whole>::Decode(in, value)) return;
  const std::string_view used = bytes.substr(0, bytes.size() - in.remaining());
  ByteReader skipped(used);
  WEIR_CHECK(SkipValue(Codec<Whole>::Describe(), skipped) && skipped.done());
  const std::string written = EncodeToString(value);
  ByteReader reader(written);
  Whole again;
  WEIR_CHECK(Codec<Whole>::Decode(reader, again) && reader.done());
  WEIR_CHECK(EncodeToString(again) == written);
  JsonWriter json;
  Codec<Whole>::WriteJson(value, json);
}

template <class T>
void Rows(std::string_view bytes) {
  const auto codec = MakeRowCodec<T>();
  const StatusOr<BatchPtr> batch = codec->DecodeBatch(CopyToSlab(bytes));
  if (!batch.ok()) return;
  std::string written;
  codec->EncodeBatch(**batch, written);
  const StatusOr<BatchPtr> again = codec->DecodeBatch(CopyToSlab(written));
  WEIR_CHECK(again.ok() && (*again)->rows() == (*batch)->rows());
}

// Bytes by a schema that came with them, as of an older checkpoint.
void OfAnotherSchema(testing::FuzzInput& input) {
  const StatusOr<Schema> written = Schema::Parse(input.Piece());
  if (!written.ok()) return;
  WEIR_CHECK(Schema::Parse(written->Serialize())->ToText() == written->ToText());
  const std::string_view bytes = input.Rest();
  ByteReader skipped(bytes);
  SkipValue(*written, skipped);
  const auto codec = MakeRowCodec<Whole>();
  if (!IncompatibleFields(*written, codec->schema(), "row").empty()) return;
  (void)codec->DecodeBatchAs(*written, CopyToSlab(bytes));
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  testing::FuzzInput input(data, size);
  switch (input.Byte() % 4) {
    case 0:
      Value(input.Rest());
      break;
    case 1:
      Rows<Whole>(input.Rest());
      break;
    case 2:
      Rows<Nothing>(input.Rest());
      break;
    default:
      OfAnotherSchema(input);
  }
  return 0;
}
