#include "operators/event_reader.h"

#include <fmt/format.h>

#include <utility>

namespace weir {
namespace {

std::string_view NameOf(JsonValue::Kind kind) {
  switch (kind) {
    case JsonValue::Kind::kNull:
      return "null";
    case JsonValue::Kind::kBool:
      return "true or false";
    case JsonValue::Kind::kNumber:
      return "a number";
    case JsonValue::Kind::kString:
      return "a string";
    case JsonValue::Kind::kArray:
      return "an array";
    case JsonValue::Kind::kObject:
      return "an object";
  }
  return "";
}

std::optional<Timestamp> TimeFrom(const JsonValue& value) {
  if (auto text = value.GetString()) return ParseRfc3339(*text);
  if (auto integer = value.GetInt()) return FromEpochNumber(*integer);
  if (auto number = value.GetDouble()) return FromEpochNumber(*number);
  return std::nullopt;
}

void AppendIdPart(std::string_view text, std::string& id) {
  for (char c : text) {
    if (c == ',' || c == '\\') id.push_back('\\');
    id.push_back(c);
  }
}

}  // namespace

EventReader::EventReader(EventFields fields) : fields_(std::move(fields)) {
  std::vector<std::string> paths = fields_.id;
  auto add = [&paths](const std::string& path) {
    if (path.empty()) return kNone;
    paths.push_back(path);
    return paths.size() - 1;
  };
  time_ = add(fields_.time);
  type_ = add(fields_.type);
  tenant_ = add(fields_.tenant);
  priority_ = add(fields_.priority);
  found_.resize(paths.size());
  paths_ = JsonPaths(std::move(paths));
}

Status EventReader::Read(std::string_view line, Event& event, std::optional<Timestamp>& time) {
  WEIR_RETURN_IF_ERROR(Parse(line));
  WEIR_RETURN_IF_ERROR(ReadId(line, event));
  event.payload = line;
  ReadOthers(event, time);
  return absl::OkStatus();
}

Status EventReader::Replace(std::string_view line, Event& event, std::optional<Timestamp>& time) {
  WEIR_RETURN_IF_ERROR(Parse(line));
  const std::string_view id = event.id;
  if (!ReadId(line, event).ok()) event.id = id;
  event.payload = line;
  ReadOthers(event, time);
  return absl::OkStatus();
}

Status EventReader::Parse(std::string_view line) {
  WEIR_ASSIGN_OR_RETURN(const JsonValue root, parser_.Parse(line));
  if (root.kind() != JsonValue::Kind::kObject) {
    return absl::InvalidArgumentError(
        fmt::format("the line is {}, wanted a JSON object", NameOf(root.kind())));
  }
  root.FindAll(paths_, found_);
  return absl::OkStatus();
}

void EventReader::ReadOthers(Event& event, std::optional<Timestamp>& time) {
  if (time_ != kNone && found_[time_]) time = TimeFrom(*found_[time_]);
  if (type_ != kNone) event.type = CopyText(type_);
  if (tenant_ != kNone) event.tenant = CopyText(tenant_);
  if (priority_ != kNone) {
    event.priority = found_[priority_] ? found_[priority_]->GetInt().value_or(0) : 0;
  }
}

Status EventReader::ReadId(std::string_view line, Event& event) {
  const size_t parts = fields_.id.size();
  if (parts == 0) {
    event.id = line;
    return absl::OkStatus();
  }
  joined_id_.clear();
  for (size_t i = 0; i < parts; ++i) {
    if (!found_[i]) {
      return absl::InvalidArgumentError(fmt::format("the id '{}' is missing", fields_.id[i]));
    }
    const auto text = found_[i]->GetText();
    if (!text) {
      return absl::InvalidArgumentError(
          fmt::format("the id '{}' is {}, wanted a string or a number", fields_.id[i],
                      NameOf(found_[i]->kind())));
    }
    if (parts == 1) {
      event.id = arena_.Copy(*text);
    } else {
      if (i > 0) joined_id_.push_back(',');
      AppendIdPart(*text, joined_id_);
    }
  }
  if (parts > 1) event.id = arena_.Copy(joined_id_);
  copied_bytes_ += event.id.size();
  return absl::OkStatus();
}

// simdjson holds strings unescaped in a buffer of its own, and finding where they stand in the line
// takes twice as long as copying these few bytes.
std::string_view EventReader::CopyText(size_t field) {
  if (!found_[field]) return {};
  const auto text = found_[field]->GetText();
  if (!text) return {};
  copied_bytes_ += text->size();
  return arena_.Copy(*text);
}

size_t EventReader::Release(SlabSet& slabs) {
  arena_.Release(slabs);
  return std::exchange(copied_bytes_, 0);
}

}  // namespace weir
