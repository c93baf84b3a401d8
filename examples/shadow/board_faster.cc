// A candidate that is faster: it reads the hour where it stands, and matches no pattern.
#include <charconv>

#include "examples/shadow/board.h"

namespace {

// Of a time that the source has read, so it is one.
int64_t HourOf(std::string_view time) {
  constexpr size_t kHour = 11;  // 2001-01-01T06:02:00Z
  int64_t hour = -1;
  if (time.size() >= kHour + 2) {
    std::from_chars(time.data() + kHour, time.data() + kHour + 2, hour);
  }
  return hour;
}

board::Line LineOf(const board::Departure& departure) {
  return board::LineOf(departure, HourOf(departure.time), board::StatusOf(departure.delay));
}

void Build(weir::JobBuilder& job, weir::Parameters& params) { board::Build(job, params, LineOf); }

}  // namespace

WEIR_JOB(board_faster, Build)
