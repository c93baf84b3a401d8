// What the comparator keeps of records that wait for their counterparts: its keyed state.
//
// Values without thread or owner. Internal to the comparator.
#pragma once

#include <algorithm>
#include <array>
#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec.h"
#include "core/hash.h"
#include "core/time.h"
#include "shadow/pairing.h"
#include "shadow/tapped_record.h"

namespace weir::shadow {

// A record that waits.
struct Waiting {
  uint32_t text = 0;  // its place in WaitingKey::texts
  // Its event time, or the watermark at its arrival if that is later. Where none had come yet, the
  // record is `early`: the first one will count as that.
  Timestamp since = 0;
  bool early = false;
  BOOST_DESCRIBE_CLASS(Waiting, (), (text, since, early), (), ())
};

// What is known of the records of a key that has too many that wait. Which of them came first is
// chance, so none is compared by itself. But the sums of two versions are equal exactly if their
// records are, so that nothing that changed goes unseen.
struct CountedKey {
  struct Sum {
    uint64_t records = 0;
    uint64_t hash = 0;  // of all texts; in their order where that counts
    bool operator==(const Sum&) const = default;
    BOOST_DESCRIBE_CLASS(Sum, (), (records, hash), (), ())
  };
  Sum baseline, again, candidate;
  BOOST_DESCRIBE_CLASS(CountedKey, (), (baseline, again, candidate), (), ())

  void Add(Version version, std::string_view text, bool ordered) {
    Sum& sum = OfVersion(version, baseline, again, candidate);
    ++sum.records;
    sum.hash = ordered ? SaltedHash64(text, sum.hash) : sum.hash + Hash64(text);
  }
  bool equal() const { return baseline == again && baseline == candidate; }
};

// The records of one key that wait, in the order they came. Equal texts are kept once.
struct WaitingKey {
  std::string output;
  std::string key;
  uint64_t block = 0;
  Timestamp timer = 0;  // when the first one is due, or before
  std::vector<std::string> texts;
  std::vector<Waiting> baseline, again, candidate;
  uint64_t bytes = 0;  // of the texts
  // Set once there are more than are kept: all texts are forgotten.
  std::optional<CountedKey> counted;
  BOOST_DESCRIBE_CLASS(WaitingKey, (),
                       (output, key, block, timer, texts, baseline, again, candidate, bytes,
                        counted),
                       (), ())

  std::array<std::vector<Waiting>*, kVersions> versions() {
    return {&baseline, &again, &candidate};
  }
  std::vector<Waiting>& Of(Version version) {
    return OfVersion(version, baseline, again, candidate);
  }
  bool empty() const { return !counted && baseline.empty() && again.empty() && candidate.empty(); }
  // Where the text is or, now, is put.
  uint32_t PlaceOf(std::string_view text) {
    const auto found = std::find(texts.begin(), texts.end(), text);
    const auto place = static_cast<uint32_t>(found - texts.begin());
    if (found == texts.end()) {
      bytes += text.size();
      texts.emplace_back(text);
    }
    return place;
  }
  // Forgets the text if no record has it.
  void Forget(uint32_t place) {
    for (const auto* waiting : versions()) {
      if (std::any_of(waiting->begin(), waiting->end(),
                      [place](const Waiting& one) { return one.text == place; })) {
        return;
      }
    }
    bytes -= texts[place].size();
    texts.erase(texts.begin() + place);
    for (auto* waiting : versions()) {
      for (Waiting& one : *waiting) one.text -= one.text > place;
    }
  }
};

// A text without key that the versions have not written equally often yet.
struct WaitingText {
  Timestamp due = 0;
  LeftoverText text;
  BOOST_DESCRIBE_CLASS(WaitingText, (), (due, text), (), ())
};

}  // namespace weir::shadow
