// EventDecoder: JSON lines as Events.
//
// Fields are dotted paths ("user.id"). An id is a JSON string or number, told apart by its text
// alone (`1` and `"1"` are one id); several are joined with ',' between them, where a ',' or '\' of
// their own has a '\' in front; without one the whole line is the id. A line is rejected that is no
// JSON object, or whose id is missing or of another kind. Time is an RFC 3339 string or a number
// since the epoch (core/time.h); without the field it is arrival. Type and tenant are the text of a
// string or a number, else empty; priority is an integer, else 0.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/event.h"
#include "core/json.h"
#include "operators/sources/line_decoder.h"

namespace weir {

// Paths of fields; empty: there is no such field.
struct EventFields {
  std::vector<std::string> id;
  std::string time;
  std::string type;
  std::string tenant;
  std::string priority;
};

class EventDecoder final : public LineDecoder {
 public:
  explicit EventDecoder(EventFields fields);

  BatchPtr NewBatch(size_t rows) const override;
  bool has_time() const override { return time_ != kNone; }
  bool keeps_lines() const override { return true; }
  void Decode(std::span<const Line> lines, LineGroup& group, BatchBase& batch,
              Output& out) override;

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  // Reads everything but the time column. On an error nothing is left behind but bytes in the
  // arena.
  Status Read(std::string_view line, Event& event, std::optional<Timestamp>& time);
  Status ReadId(std::string_view line, Event& event);
  std::string_view CopyText(size_t field);

  const EventFields fields_;
  JsonPaths paths_;  // the ids, then the others that there are
  size_t time_ = kNone;
  size_t type_ = kNone;
  size_t tenant_ = kNone;
  size_t priority_ = kNone;

  JsonParser parser_;
  std::vector<std::optional<JsonValue>> found_;  // by the index in paths_
  SlabArena arena_;
  size_t copied_bytes_ = 0;
  std::string joined_id_;
};

}  // namespace weir
