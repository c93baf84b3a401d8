// EventReader: what a job takes from a line to make an Event of it.
//
// Fields are dotted paths ("user.id"). An id is a JSON string or number, told apart by its text
// alone (`1` and `"1"` are one id); several are joined with ',' between them, where a ',' or '\' of
// their own has a '\' in front; without one the whole line is the id. Time is an RFC 3339 string or
// a number since the epoch (core/time.h). Type and tenant are the text of a string or a number,
// else empty; priority is an integer, else 0.
//
// Owned by an operator, used on its task's thread. Lines lie in slabs, or at least have
// limits::kSlabPaddingBytes readable bytes behind them. The events' views point into the line and
// into bytes that the reader keeps until Release().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/json.h"
#include "core/slab.h"

namespace weir {

// Paths of fields; empty: there is no such field.
struct EventFields {
  std::vector<std::string> id;
  std::string time;
  std::string type;
  std::string tenant;
  std::string priority;
};

class EventReader {
 public:
  explicit EventReader(EventFields fields);

  bool has_time() const { return time_ != kNone; }

  // Fills a new event from its line; of its time only `time`, nullopt where it is missing or no
  // time. InvalidArgument for a line that is no JSON object, or whose id is missing or of another
  // kind; the event is then of no use.
  Status Read(std::string_view line, Event& event, std::optional<Timestamp>& time);

  // Puts another line in the place of an event's. The fields that the job reads are those of the
  // new line; the id stays where the new line has none, and so does what the job has no field for.
  // InvalidArgument for a line that is no JSON object; the event is then unchanged.
  Status Replace(std::string_view line, Event& event, std::optional<Timestamp>& time);

  // Hands over the bytes that events point to, to the batch they are in. Returns how many were
  // copied since the last call.
  size_t Release(SlabSet& slabs);

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  Status Parse(std::string_view line);
  Status ReadId(std::string_view line, Event& event);
  void ReadOthers(Event& event, std::optional<Timestamp>& time);
  std::string_view CopyText(size_t field);

  const EventFields fields_;
  JsonPaths paths_;  // the ids, then the others that there are
  size_t time_ = kNone;
  size_t type_ = kNone;
  size_t tenant_ = kNone;
  size_t priority_ = kNone;

  JsonParser parser_;
  std::vector<std::optional<JsonValue>> found_;  // of the line at hand, by the index in paths_
  SlabArena arena_;
  size_t copied_bytes_ = 0;
  std::string joined_id_;
};

}  // namespace weir
