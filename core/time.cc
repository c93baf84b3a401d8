#include "core/time.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace weir {
namespace {

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back (H. Hinnant's
// algorithms; March is the first month, so that the leap day comes last).
constexpr int64_t DaysFromCivil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

struct Civil {
  int64_t year;
  int month;
  int day;
};

constexpr Civil CivilFromDays(int64_t days) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const int64_t day_of_era = days - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t mp = (5 * day_of_year + 2) / 153;
  const int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  return {year_of_era + era * 400 + (month <= 2), month,
          static_cast<int>(day_of_year - (153 * mp + 2) / 5 + 1)};
}

constexpr bool IsLeapYear(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

constexpr int DaysInMonth(int year, int month) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeapYear(year) ? 29 : kDays[month - 1];
}

// Two digits, or a number above 99 where one of them is none.
inline unsigned TwoDigits(const char* p) {
  const unsigned tens = static_cast<unsigned char>(p[0]) - unsigned{'0'};
  const unsigned ones = static_cast<unsigned char>(p[1]) - unsigned{'0'};
  return tens > 9 || ones > 9 ? 1'000'000 : tens * 10 + ones;
}

struct Unit {
  std::string_view name;
  uint64_t size;
};

// "<digits><unit>"; nullopt if it has another form, or does not fit `max`.
std::optional<uint64_t> ParseWithUnit(std::string_view text, std::span<const Unit> units,
                                      uint64_t max) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  for (const Unit& unit : units) {
    if (unit.name != text) continue;
    if (number > max / unit.size) return std::nullopt;
    return number * unit.size;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Timestamp> ParseRfc3339(std::string_view text) {
  // "2026-11-22T21:46:40" is the part of fixed width.
  constexpr size_t kFixed = 19;
  if (text.size() < kFixed + 1) return std::nullopt;
  const char* p = text.data();
  const unsigned year = TwoDigits(p) * 100 + TwoDigits(p + 2);
  const unsigned month = TwoDigits(p + 5);
  const unsigned day = TwoDigits(p + 8);
  const unsigned hour = TwoDigits(p + 11);
  const unsigned minute = TwoDigits(p + 14);
  unsigned second = TwoDigits(p + 17);
  const char separator = p[10];
  if (p[4] != '-' || p[7] != '-' || p[13] != ':' || p[16] != ':' ||
      (separator != 'T' && separator != 't' && separator != ' ')) {
    return std::nullopt;
  }
  if (year > 9'999 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 60 ||
      day < 1 || day > static_cast<unsigned>(DaysInMonth(year, month))) {
    return std::nullopt;
  }

  const char* const end = p + text.size();
  p += kFixed;
  int64_t micros = 0;
  if (*p == '.') {
    const char* const first = ++p;
    int64_t scale = 100'000;
    for (; p != end && *p >= '0' && *p <= '9'; ++p) {
      micros += (*p - '0') * scale;
      scale /= 10;
    }
    if (p == first || p - first > 9) return std::nullopt;
  }
  if (second == 60) {
    second = 59;
    micros = 999'999;
  }

  int64_t offset_minutes = 0;
  if (end - p == 1 && (*p == 'Z' || *p == 'z')) {
  } else if (end - p == 6 && (*p == '+' || *p == '-') && p[3] == ':') {
    const unsigned hours = TwoDigits(p + 1);
    const unsigned minutes = TwoDigits(p + 4);
    if (hours > 23 || minutes > 59) return std::nullopt;
    offset_minutes = static_cast<int64_t>(hours * 60 + minutes) * (*p == '-' ? -1 : 1);
  } else {
    return std::nullopt;
  }
  const int64_t days = DaysFromCivil(year, static_cast<int>(month), static_cast<int>(day));
  const int64_t minutes = days * 1'440 + hour * 60 + minute - offset_minutes;
  return Minutes(minutes) + Seconds(second) + micros;
}

std::optional<Timestamp> FromEpochNumber(double number) {
  const double size = std::fabs(number);
  if (!std::isfinite(number)) return std::nullopt;
  const double micros = size < 1e11 ? number * 1e6 : size < 1e14 ? number * 1e3 : number;
  // The first double that an int64 does not hold.
  if (std::fabs(micros) >= 9'223'372'036'854'775'808.0) return std::nullopt;
  return static_cast<Timestamp>(std::llround(micros));
}

std::optional<Timestamp> FromEpochNumber(int64_t number) {
  constexpr int64_t kSecondsEnd = 100'000'000'000;
  constexpr int64_t kMillisecondsEnd = 100'000'000'000'000;
  if (number > -kSecondsEnd && number < kSecondsEnd) return Seconds(number);
  if (number > -kMillisecondsEnd && number < kMillisecondsEnd) return Milliseconds(number);
  return number;
}

std::string FormatTimestamp(Timestamp time) {
  if (time == kMinTimestamp) return "-inf";
  if (time == kMaxTimestamp) return "+inf";
  constexpr int64_t kDay = Hours(24);
  const int64_t days = time / kDay - (time % kDay < 0);
  int64_t rest = time % kDay;
  if (rest < 0) rest += kDay;
  const Civil date = CivilFromDays(days);
  const int64_t micros = rest % 1'000'000;
  rest /= 1'000'000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", date.year, date.month, date.day,
                     rest / 3'600, rest / 60 % 60, rest % 60, micros);
}

StatusOr<Duration> ParseDuration(std::string_view text) {
  static constexpr Unit kUnits[] = {
      {"us", 1},         {"ms", Milliseconds(1)}, {"s", Seconds(1)},
      {"m", Minutes(1)}, {"h", Hours(1)},         {"d", Hours(24)},
  };
  if (auto duration =
          ParseWithUnit(text, kUnits, static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))) {
    return static_cast<Duration>(*duration);
  }
  return absl::InvalidArgumentError(fmt::format(
      "'{}' is not a duration: write a whole number and a unit (us, ms, s, m, h, d), as in 200ms, "
      "10s or 24h",
      text));
}

std::string FormatDuration(Duration duration) {
  if (duration == 0) return "0s";
  const uint64_t size = duration < 0 ? 0 - static_cast<uint64_t>(duration) : duration;
  static constexpr Unit kUnits[] = {
      {"h", Hours(1)}, {"m", Minutes(1)}, {"s", Seconds(1)}, {"ms", Milliseconds(1)}, {"us", 1}};
  for (const Unit& unit : kUnits) {
    if (size % unit.size == 0) {
      return fmt::format("{}{}{}", duration < 0 ? "-" : "", size / unit.size, unit.name);
    }
  }
  return "";  // unreachable: every duration is a multiple of 1us
}

StatusOr<uint64_t> ParseSize(std::string_view text) {
  static constexpr Unit kUnits[] = {
      {"", 1},
      {"B", 1},
      {"KB", 1'000},
      {"MB", 1'000'000},
      {"GB", 1'000'000'000},
      {"KiB", 1ull << 10},
      {"MiB", 1ull << 20},
      {"GiB", 1ull << 30},
      {"TiB", 1ull << 40},
  };
  if (auto size = ParseWithUnit(text, kUnits, std::numeric_limits<uint64_t>::max())) return *size;
  return absl::InvalidArgumentError(
      fmt::format("'{}' is not a size: write a whole number and a unit (B, KB, MB, GB, KiB, MiB, "
                  "GiB, TiB; bytes without one), as in 64KiB or 2GiB",
                  text));
}

std::string FormatSize(uint64_t bytes) {
  static constexpr Unit kUnits[] = {
      {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}};
  for (const Unit& unit : kUnits) {
    if (bytes < unit.size) continue;
    if (bytes % unit.size == 0) return fmt::format("{}{}", bytes / unit.size, unit.name);
    return fmt::format("{:.1f}{}", static_cast<double>(bytes) / static_cast<double>(unit.size),
                       unit.name);
  }
  return fmt::format("{}B", bytes);
}

}  // namespace weir
