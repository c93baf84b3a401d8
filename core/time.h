// Time in Weir: microseconds since 1970-01-01T00:00:00Z in an int64, for event time, watermarks and
// wall clocks alike. Durations are microseconds too; a name that carries another unit says so
// (`_ms`, `_ns`).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

using Timestamp = int64_t;
using Duration = int64_t;

inline constexpr Timestamp kMinTimestamp = std::numeric_limits<int64_t>::min();
// The watermark behind the last row of a bounded stream.
inline constexpr Timestamp kMaxTimestamp = std::numeric_limits<int64_t>::max();

constexpr Duration Microseconds(int64_t n) { return n; }
constexpr Duration Milliseconds(int64_t n) { return n * 1'000; }
constexpr Duration Seconds(int64_t n) { return n * 1'000'000; }
constexpr Duration Minutes(int64_t n) { return n * 60'000'000; }
constexpr Duration Hours(int64_t n) { return n * 3'600'000'000; }

// RFC 3339 ("2026-11-22T21:46:40.5Z", any offset, 'T' or a blank; the leap second :60 counts as
// :59.999999), up to nanoseconds, which are cut. nullopt for anything else, and for a day that does
// not exist.
std::optional<Timestamp> ParseRfc3339(std::string_view text);

// A number since the epoch whose unit is told from its size: below 1e11 seconds, below 1e14
// milliseconds, else microseconds (so seconds reach the year 5138). nullopt where it does not fit a
// Timestamp or is not finite.
std::optional<Timestamp> FromEpochNumber(double number);
std::optional<Timestamp> FromEpochNumber(int64_t number);

// "2026-11-22T21:46:40.500000Z"; "-inf" and "+inf" for the two ends.
std::string FormatTimestamp(Timestamp time);

// "200ms", "10s", "24h", also us, m, d. InvalidArgument names the text and the forms.
StatusOr<Duration> ParseDuration(std::string_view text);
std::string FormatDuration(Duration duration);

// "64KiB", "2GiB", also B, KB, MB, GB, MiB, TiB; a bare number is bytes.
StatusOr<uint64_t> ParseSize(std::string_view text);
std::string FormatSize(uint64_t bytes);

}  // namespace weir
