// TappedRecord: what one version of a job would have written, on its way to the comparison.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/check.h"
#include "core/codec.h"
#include "core/hash.h"

namespace weir::shadow {

// The versions that a shadow runs side by side. The baseline runs twice: what differs between two
// runs of the same code is noise.
enum class Version : uint8_t { kBaseline = 0, kAgain = 1, kCandidate = 2 };
inline constexpr int kVersions = 3;
// Which of the three is the version's.
template <class T>
T& OfVersion(Version version, T& baseline, T& again, T& candidate) {
  return version == Version::kBaseline ? baseline : version == Version::kAgain ? again : candidate;
}
// The parts of the woven job (StageSpec::part).
std::string_view PartOf(Version version);
inline constexpr std::string_view kComparisonPart = "comparison";

struct TappedRecord {
  uint8_t version = 0;       // a Version
  std::string_view output;   // where it would have gone: a sink, or one of its routes
  std::string_view meeting;  // 16 bytes; records of which they are equal meet
  std::string_view key;      // as Record has it
  std::string_view text;     // canonical
  BOOST_DESCRIBE_CLASS(TappedRecord, (), (version, output, meeting, key, text), (), ())
};

// TappedRecord::meeting, which points to the hash that it is, and back.
inline std::string_view MeetingBytes(const Fingerprint& hash) {
  return {reinterpret_cast<const char*>(&hash), sizeof(hash)};
}
inline Fingerprint FingerprintOf(std::string_view meeting) {
  Fingerprint hash;
  WEIR_CHECK(meeting.size() == sizeof(hash));
  std::memcpy(&hash, meeting.data(), sizeof(hash));
  return hash;
}
// For tables by such a hash.
struct FingerprintHash {
  size_t operator()(const Fingerprint& hash) const { return hash.low; }
};

}  // namespace weir::shadow
