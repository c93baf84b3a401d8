// Event: the built-in row of an event pipeline. All views point into the slabs of the batch that
// holds the row.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <string_view>

#include "core/time.h"

namespace weir {

struct Event {
  std::string_view id;       // what deduplication tells events apart by
  std::string_view tenant;   // empty where the event names none
  std::string_view type;     // likewise
  std::string_view route;    // written by a router; names the partition of a sink
  std::string_view payload;  // the event's line, byte for byte, without the line feed
  Timestamp time = 0;        // as read; the batch's time column is what the engine goes by
  int64_t priority = 0;

  BOOST_DESCRIBE_CLASS(Event, (), (id, tenant, type, route, payload, time, priority), (), ())
};

// A row that some operator could not take, on its way to the dead letters.
struct DeadLetter {
  std::string_view stage;  // the operator's name
  std::string_view error;
  std::string_view record;  // the row's bytes as far as they are known, any bytes

  BOOST_DESCRIBE_CLASS(DeadLetter, (), (stage, error, record), (), ())
};

}  // namespace weir
