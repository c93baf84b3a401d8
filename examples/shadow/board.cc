// The version that is trusted.
#include "examples/shadow/board.h"

namespace {

board::Line LineOf(const board::Departure& departure) {
  return board::LineOf(departure, board::HourOf(departure.time), board::StatusOf(departure.delay));
}

void Build(weir::JobBuilder& job, weir::Parameters& params) { board::Build(job, params, LineOf); }

}  // namespace

WEIR_JOB(board, Build)
