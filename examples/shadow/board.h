// A job that makes a line of the departure board of every departure, in the version that is
// trusted. Candidates are made of it: each says in its own file what it does in another way.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <regex>
#include <string>
#include <string_view>

#include "jobs/job.h"

namespace board {

struct Departure {
  std::string_view id;
  std::string_view time;
  std::string_view origin;
  std::string_view destination;
  int64_t delay = 0;     // minutes
  int64_t distance = 0;  // miles

  BOOST_DESCRIBE_CLASS(Departure, (), (id, time, origin, destination, delay, distance), (), ())
};

struct Line {
  std::string_view id;
  std::string_view from;
  std::string_view to;
  int64_t hour = 0;
  std::string_view status;
  int64_t km = 0;
  int64_t shown_at = 0;  // ms since 1970 by the wall clock: another value in every run

  BOOST_DESCRIBE_CLASS(Line, (), (id, from, to, hour, status, km, shown_at), (), ())
};

inline constexpr double kKmPerMile = 1.609344;

inline int64_t NowMillis() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// The hour of a time such as 2001-01-01T06:02:00Z; -1: it is none.
inline int64_t HourOf(std::string_view time) {
  const std::regex hour(R"(T(\d\d):)");
  std::cmatch found;
  if (!std::regex_search(time.data(), time.data() + time.size(), found, hour)) return -1;
  return std::stoi(found[1]);
}

inline std::string_view StatusOf(int64_t delay) {
  if (delay >= 60) return "very late";
  if (delay >= 15) return "late";
  return "on time";
}

// The line of a departure, with the hour and the status as the version at hand sees them.
inline Line LineOf(const Departure& departure, int64_t hour, std::string_view status) {
  const int64_t km = std::llround(static_cast<double>(departure.distance) * kKmPerMile);
  return {departure.id, departure.origin, departure.destination, hour, status, km, NowMillis()};
}

template <class MadeLine>
void Build(weir::JobBuilder& job, weir::Parameters& params, MadeLine (*line)(const Departure&)) {
  const std::string input = params.Path("input", "the folder of the flights");
  const std::string out = params.Path("out", "the folder of the board");

  job.From("departures",
           weir::JsonFiles<Departure>({.input = input}, [](const Departure& d) { return d.time; }))
      .Dedup("once", {.window = weir::Hours(24)}, [](const Departure& d) { return d.id; })
      .Map("line", line)
      .To("board", weir::JsonFileSink<MadeLine>({.directory = out, .by_partition = false}));
  job.DeadLetters("dead-letters", weir::DeadLetterFileSink(
                                      {.directory = out + "/dead-letters", .by_partition = false}));
}

}  // namespace board
