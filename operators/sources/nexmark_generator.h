// NexmarkGenerator: the events of the NEXMark benchmark, by their numbers.
//
// An event follows from its number and the options alone, so that any part of the stream can be
// made at any time, and in any process. The rules are those of Apache Beam's generator, and so are
// the events, byte for byte: java.util.Random seeded with the event's id, the same draws in the
// same order. In a nutshell: of 50 events one is a person, three are auctions and 46 are bids; ids
// of people and auctions count up; a bid goes to a hot auction or to one of those that are in
// flight, by a hot bidder or by one of the people that are active; `extra` fills each row up to a
// size that is right on average; event time advances by the same step from event to event.
//
// Made for one thread. Prices come from std::pow, which rounds alike on machines with the same C
// library.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/batch.h"
#include "core/status.h"
#include "operators/sources/nexmark_event.h"

namespace weir {

// The defaults are the benchmark's.
struct NexmarkOptions {
  uint64_t events = 0;  // their number; 0: without end, which is after NexmarkEventsMax()
  double rate = 0;      // events a second, all subtasks together; 0: as fast as it goes
  int splits = 64;      // that subtasks share: at most so many have something to do

  Timestamp base_time = Seconds(1'436'918'400);  // of event 0: 2015-07-15T00:00:00Z
  Duration event_delay = Microseconds(100);      // of event time, between two events
  // Times are shuffled within groups of so many events; 1: they rise.
  uint64_t out_of_order_group = 1;

  // A hot one is taken in (n - 1) of n cases.
  int hot_auction_ratio = 2;
  int hot_bidder_ratio = 4;
  int hot_seller_ratio = 4;
  int active_people = 1000;      // the newest, of whom the others are taken
  int in_flight_auctions = 100;  // likewise; an auction is open for as long as so many take

  int person_bytes = 200;  // on average
  int auction_bytes = 500;
  int bid_bytes = 100;
};

// As many events as numbers and times have room for: 10^15, or fewer where event_delay is long.
uint64_t NexmarkEventsMax(const NexmarkOptions& options);

// Of an event, on average.
double NexmarkEventBytes(const NexmarkOptions& options);

// InvalidArgument names the option that is out of its range.
Status CheckNexmarkOptions(const NexmarkOptions& options);

class NexmarkGenerator {
 public:
  // REQUIRES: options that CheckNexmarkOptions() has passed.
  explicit NexmarkGenerator(const NexmarkOptions& options);

  // Appends the events with the numbers [first, first + n), in this order.
  void Generate(uint64_t first, size_t n, Batch<NexmarkEvent>& batch) const;
  // No event with this number or a higher one is earlier.
  Timestamp EarliestFrom(uint64_t number) const;

 private:
  class Maker;
  Timestamp TimeOf(uint64_t event_id) const;
  uint64_t EventIdOf(uint64_t number) const;

  const NexmarkOptions options_;
  const size_t event_view_bytes_max_;
};

}  // namespace weir
