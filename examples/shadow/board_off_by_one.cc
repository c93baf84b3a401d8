// A candidate with a bug: it has > for >=, so that a departure that is an hour late to the minute
// is called late, and not very late.
#include "examples/shadow/board.h"

namespace {

std::string_view StatusOf(int64_t delay) {
  if (delay > 60) return "very late";
  if (delay >= 15) return "late";
  return "on time";
}

board::Line LineOf(const board::Departure& departure) {
  return board::LineOf(departure, board::HourOf(departure.time), StatusOf(departure.delay));
}

void Build(weir::JobBuilder& job, weir::Parameters& params) { board::Build(job, params, LineOf); }

}  // namespace

WEIR_JOB(board_off_by_one, Build)
