#include "operators/sinks/line_formatter.h"

#include <cstring>

namespace weir {
namespace {

std::string Base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    auto at = [&](size_t k) -> uint32_t {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0;
    };
    const uint32_t bits = at(0) << 16 | at(1) << 8 | at(2);
    out.push_back(kDigits[bits >> 18]);
    out.push_back(kDigits[bits >> 12 & 63]);
    out.push_back(i + 1 < bytes.size() ? kDigits[bits >> 6 & 63] : '=');
    out.push_back(i + 2 < bytes.size() ? kDigits[bits & 63] : '=');
  }
  return out;
}

}  // namespace

void EventLines::Format(const BatchBase& batch, LineWriter& lines) {
  const auto events = Batch<Event>::Of(batch).values();
  const auto times = batch.times();
  for (size_t i = 0; i < events.size(); ++i) {
    const std::string_view payload = events[i].payload;
    if (!payload.empty() && std::memchr(payload.data(), '\n', payload.size()) != nullptr) {
      lines.Reject("the payload holds a line feed, so it cannot be one line of the output", payload,
                   times[i]);
      continue;
    }
    lines.Write(events[i].route, payload, times[i]);
  }
}

void DeadLetterLines::Format(const BatchBase& batch, LineWriter& lines) {
  const auto letters = Batch<DeadLetter>::Of(batch).values();
  for (size_t i = 0; i < letters.size(); ++i) {
    const DeadLetter& letter = letters[i];
    json_.Clear();
    json_.StartObject();
    json_.Key("operator");
    json_.String(letter.stage);
    json_.Key("error");
    json_.String(letter.error);
    if (IsValidUtf8(letter.record)) {
      json_.Key("record");
      json_.String(letter.record);
    } else {
      json_.Key("record_base64");
      json_.String(Base64(letter.record));
    }
    json_.EndObject();
    lines.Write({}, json_.text(), batch.times()[i]);
  }
}

}  // namespace weir
