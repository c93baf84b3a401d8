#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cmath>

#include "core/json.h"
#include "core/utf8.h"

namespace weir {

struct JsonWriter::Impl {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer{buffer};

  template <class Write>
  void WithUtf8(std::string_view text, Write write) {
    if (IsValidUtf8(text)) {
      // RapidJSON wants an address even of no bytes.
      write(text.data() == nullptr ? std::string_view("") : text);
    } else {
      write(ReplaceInvalidUtf8(text));
    }
  }
};

JsonWriter::JsonWriter() : impl_(std::make_unique<Impl>()) {}
JsonWriter::~JsonWriter() = default;

void JsonWriter::StartObject() { impl_->writer.StartObject(); }
void JsonWriter::Key(std::string_view name) { String(name); }
void JsonWriter::EndObject() { impl_->writer.EndObject(); }
void JsonWriter::StartArray() { impl_->writer.StartArray(); }
void JsonWriter::EndArray() { impl_->writer.EndArray(); }

void JsonWriter::String(std::string_view text) {
  impl_->WithUtf8(text, [this](std::string_view valid) {
    impl_->writer.String(valid.data(), static_cast<rapidjson::SizeType>(valid.size()));
  });
}

void JsonWriter::Int(int64_t number) { impl_->writer.Int64(number); }
void JsonWriter::Uint(uint64_t number) { impl_->writer.Uint64(number); }

void JsonWriter::Double(double number) {
  if (std::isfinite(number)) {
    impl_->writer.Double(number);
  } else {
    impl_->writer.Null();
  }
}

void JsonWriter::Bool(bool value) { impl_->writer.Bool(value); }
void JsonWriter::Null() { impl_->writer.Null(); }

std::string_view JsonWriter::text() const {
  return {impl_->buffer.GetString(), impl_->buffer.GetSize()};
}

void JsonWriter::Clear() {
  impl_->buffer.Clear();
  impl_->writer.Reset(impl_->buffer);
}

}  // namespace weir
