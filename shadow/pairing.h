// Records without a key: they meet as whole texts, and what is left over is paired by what it says.
//
// Leftovers are the texts that the three versions did not write equally often. They are bounded,
// and merge in any order; a text that one version wrote a bucket later than another cancels out. In
// the end PairLeftovers() finds counterparts: by the fields whose values are the same in all
// versions, with fewer and fewer of them, then by how many fields agree. What is left then is
// missing or extra.
//
// Values without thread or owner.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec.h"
#include "shadow/rules.h"
#include "shadow/statistics.h"

namespace weir::shadow {

struct Leftover {
  uint64_t block = 0;  // the first one's, as in KeyedRecords
  uint64_t baseline = 0;
  uint64_t again = 0;
  uint64_t candidate = 0;

  bool equal() const { return baseline == again && baseline == candidate; }
  void Merge(const Leftover& other);
  bool operator==(const Leftover&) const = default;
  BOOST_DESCRIBE_CLASS(Leftover, (), (block, baseline, again, candidate), (), ())
};

// One text that is left over: a row for whoever sends them one by one.
struct LeftoverText {
  std::string output;
  std::string text;
  Leftover counts;
  BOOST_DESCRIBE_CLASS(LeftoverText, (), (output, text, counts), (), ())
};

// Those of one output. At most limits::kLeftoversMax and kLeftoversBytesMax, by the hash of the
// text, so that all versions' counts of a text are kept or none; the others are summed up.
class Leftovers {
 public:
  void Add(std::string_view text, const Leftover& counts);
  void Merge(const Leftovers& other);
  size_t size() const { return texts_.size(); }
  const Leftover& dropped() const { return dropped_; }

 private:
  friend class LeftoverPairer;
  void Bound();

  std::map<std::pair<uint64_t, std::string>, Leftover> texts_;  // by hash
  size_t bytes_ = 0;
  Leftover dropped_;
};

// What the records of one text, in one bucket, add: matches to the statistics where all versions
// have written it equally often, else a leftover. True: it is one.
bool CountUnkeyed(const Leftover& counts, const OutputRules& rules, OutputStatistics& statistics);

// Pairs what is left over and adds it to the output's statistics. To be called once, in the end.
void PairLeftovers(const Leftovers& leftovers, const OutputRules& rules,
                   OutputStatistics& statistics);

}  // namespace weir::shadow
