#include "runtime/rest/rest_json.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "core/check.h"
#include "core/json.h"

namespace weir {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Of a text that is not UTF-8 what is ASCII stays.
std::string MadeUtf8(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    if (static_cast<unsigned char>(c) < 0x80) {
      text.push_back(c);
    } else {
      text.append("\xEF\xBF\xBD");
    }
  }
  return text;
}

void MakeStringsUtf8(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) MakeStringsUtf8(*reflection.MutableMessage(&message, field));
      for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
        MakeStringsUtf8(*reflection.MutableRepeatedMessage(&message, field, i));
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (!field->is_repeated()) {
        const std::string text = reflection.GetString(message, field);
        if (!IsValidUtf8(text)) reflection.SetString(&message, field, MadeUtf8(text));
      }
      for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
        const std::string text = reflection.GetRepeatedString(message, field, i);
        if (!IsValidUtf8(text)) reflection.SetRepeatedString(&message, field, i, MadeUtf8(text));
      }
    }
  }
}

}  // namespace

std::string ToJson(const Message& message) {
  const std::unique_ptr<Message> copy(message.New());
  copy->CopyFrom(message);
  MakeStringsUtf8(*copy);
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(*copy, &json, options);
  WEIR_CHECK(status.ok());  // all that could fail is a text that is no UTF-8
  return json;
}

Status FromJson(std::string_view json, UnknownFields unknown, Message& message) {
  message.Clear();
  if (json.empty()) return absl::OkStatus();
  if (!IsValidUtf8(json)) return absl::InvalidArgumentError("the JSON is not UTF-8");
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = unknown == UnknownFields::kIgnore;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "this is no {} in JSON: {}", message.GetDescriptor()->name(), std::string(status.message())));
}

}  // namespace weir
