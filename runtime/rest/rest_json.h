// The REST messages as JSON: Protobuf's own mapping, with the names of the .proto and with every
// member that is not a message, zero or not.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

// Bytes of a text that is not UTF-8 (a log line of somebody's library) become U+FFFD.
std::string ToJson(const google::protobuf::Message& message);

enum class UnknownFields {
  kRefuse,  // of a request: a flag that does nothing must not look as if it did
  kIgnore,  // of an answer, which a newer coordinator may have given
};
// An empty text is an empty message. InvalidArgument says what is wrong and names the field.
Status FromJson(std::string_view json, UnknownFields unknown, google::protobuf::Message& message);

}  // namespace weir
