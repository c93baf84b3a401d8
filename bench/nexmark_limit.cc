// nexmark_limit QUERY EVENTS: what the NEXMark jobs are compared with: one loop over the same
// generator that does the query's work, on one thread; nothing of Weir but the generator.
//
// q0 looks at each event, q1 and q2 make their rows, q18 keeps the last bid of each pair in a table
// of open addressing (prefetch, huge pages). Results go nowhere, as in the jobs. Prints one JSON
// object: the rows that come out, and CPU nanoseconds per event.
#include <xxhash.h>

#include <cstring>
#include <deque>
#include <string_view>
#include <tuple>
#include <vector>

#include "bench/bare.h"
#include "bench/measure.h"
#include "operators/sources/nexmark_generator.h"

namespace {

using weir::NexmarkBid;
using weir::NexmarkEvent;

struct Bid {
  uint64_t event_id;
  NexmarkBid bid;
};

class LastBids {
 public:
  explicit LastBids(size_t bids)
      : mask_(std::bit_ceil(bids) - 1), places_(bare::HugeArray<Place>(mask_ + 1)) {}

  // How many pairs are new.
  size_t Add(const std::vector<Bid>& bids) {
    hashes_.clear();
    for (const Bid& bid : bids) {
      const int64_t key[] = {bid.bid.auction, bid.bid.bidder};
      hashes_.push_back(XXH3_64bits(key, sizeof(key)));
      __builtin_prefetch(&places_[hashes_.back() & mask_], 1);
    }
    const size_t before = kept_.size();
    for (size_t i = 0; i < bids.size(); ++i) AddOne(bids[i], hashes_[i]);
    return kept_.size() - before;
  }

 private:
  struct Kept {
    int64_t price;
    int64_t date_time;
    uint64_t event_id;
    uint8_t extra_bytes;
    char extra[87];
  };
  struct Place {
    int64_t auction;  // 0: empty
    int64_t bidder;
    Kept* kept;
  };

  void AddOne(const Bid& from, uint64_t hash) {
    const NexmarkBid& bid = from.bid;
    size_t i = hash & mask_;
    while (places_[i].auction != 0 &&
           (places_[i].auction != bid.auction || places_[i].bidder != bid.bidder)) {
      i = (i + 1) & mask_;
    }
    Place& place = places_[i];
    if (place.auction == 0) place = {bid.auction, bid.bidder, &kept_.emplace_back()};
    Kept& kept = *place.kept;
    if (std::tie(kept.date_time, kept.event_id) > std::tie(bid.date_time, from.event_id)) return;
    bare::Require(bid.extra.size() <= sizeof(kept.extra), "a bid is larger than its place");
    kept.price = bid.price;
    kept.date_time = bid.date_time;
    kept.event_id = from.event_id;
    kept.extra_bytes = static_cast<uint8_t>(bid.extra.size());
    std::memcpy(kept.extra, bid.extra.data(), bid.extra.size());
  }

  const size_t mask_;
  Place* const places_;
  std::deque<Kept> kept_;
  std::vector<uint64_t> hashes_;
};

void Run(std::string_view query, uint64_t events) {
  const weir::NexmarkGenerator generator({.events = events});
  std::vector<Bid> rows;
  LastBids last(query == "q18" ? events : 1);
  size_t count = 0;
  uint64_t sum = 0;  // so that nothing is optimised away
  constexpr uint64_t kBatch = 1000;
  for (uint64_t first = 0; first < events; first += kBatch) {
    weir::Batch<NexmarkEvent> batch;
    generator.Generate(first, std::min(kBatch, events - first), batch);
    rows.clear();
    for (const NexmarkEvent& event : std::as_const(batch).values()) {
      if (query == "q0") {
        sum += event.event_id;
        ++count;
        continue;
      }
      const NexmarkBid* const bid = event.bid();
      if (bid == nullptr || (query == "q2" && bid->auction % 123 != 0)) continue;
      rows.push_back({event.event_id, *bid});
      if (query == "q1") rows.back().bid.price = bid->price * 89 / 100;
    }
    count += query == "q18" ? last.Add(rows) : rows.size();
    for (const Bid& row : rows) sum += row.bid.price;
  }
  bare::Require(sum > 0, "there was nothing to do");
  bench::Report report;
  report.Add("rows", static_cast<double>(count));
  report.Add("ns_per_event",
             static_cast<double>(bare::ProcessCpuNs()) / static_cast<double>(events));
  report.Print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bare::Fail("usage: nexmark_limit q0|q1|q2|q18 EVENTS");
  Run(argv[1], std::strtoull(argv[2], nullptr, 10));
}
