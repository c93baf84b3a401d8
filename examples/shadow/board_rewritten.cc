// A candidate that was rewritten and does the same: the status comes from a table, and the members
// of a line stand in another order.
#include <algorithm>
#include <iterator>
#include <utility>

#include "examples/shadow/board.h"

namespace {

struct Line {
  int64_t shown_at = 0;
  std::string_view status;
  std::string_view id;
  int64_t hour = 0;
  int64_t km = 0;
  std::string_view to;
  std::string_view from;

  BOOST_DESCRIBE_CLASS(Line, (), (shown_at, status, id, hour, km, to, from), (), ())
};

// From which delay on, in minutes; the longest first.
constexpr std::pair<int64_t, std::string_view> kStatus[] = {
    {60, "very late"}, {15, "late"}, {INT64_MIN, "on time"}};

Line LineOf(const board::Departure& departure) {
  Line line;
  line.id = departure.id;
  line.from = departure.origin;
  line.to = departure.destination;
  line.hour = board::HourOf(departure.time);
  line.status = std::find_if(std::begin(kStatus), std::end(kStatus), [&](const auto& status) {
                  return departure.delay >= status.first;
                })->second;
  line.km = std::llround(static_cast<double>(departure.distance) * board::kKmPerMile);
  line.shown_at = board::NowMillis();
  return line;
}

void Build(weir::JobBuilder& job, weir::Parameters& params) { board::Build(job, params, LineOf); }

}  // namespace

WEIR_JOB(board_rewritten, Build)
