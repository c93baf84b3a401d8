#include "operators/sources/nexmark_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "core/key_group.h"

namespace weir {
namespace {

// The benchmark's constants.
constexpr uint64_t kPeople = 1;  // of an epoch's events
constexpr uint64_t kAuctions = 3;
constexpr uint64_t kEpoch = 50;
constexpr int64_t kFirstPersonId = 1000;
constexpr int64_t kFirstAuctionId = 1000;
constexpr int64_t kFirstCategoryId = 10;
constexpr int kCategories = 5;
constexpr int64_t kIdLead = 10;     // ids are taken of people and auctions that are yet to come
constexpr int64_t kHotEvery = 100;  // one of so many people or auctions is hot
constexpr uint64_t kShuffle = 953;  // by which numbers are multiplied within a group
constexpr size_t kStringMin = 3;

using Names = std::span<const std::string_view>;
constexpr std::string_view kStates[] = {"AZ", "CA", "ID", "OR", "WA", "WY"};
constexpr std::string_view kCities[] = {"Phoenix",  "Los Angeles", "San Francisco", "Boise",
                                        "Portland", "Bend",        "Redmond",       "Seattle",
                                        "Kent",     "Cheyenne"};
constexpr std::string_view kFirstNames[] = {"Peter", "Paul",  "Luke",  "John",   "Saul",  "Vicky",
                                            "Kate",  "Julie", "Sarah", "Deiter", "Walter"};
constexpr std::string_view kLastNames[] = {"Shultz", "Abrams", "Spencer", "White", "Bartels",
                                           "Walton", "Smith",  "Jones",   "Noris"};

// Bytes of all strings of a row but `extra`, at most.
constexpr size_t kStringsMax = 128;
constexpr size_t kSlabBytes = 128 << 10;

// So that neither numbers nor times overflow.
constexpr uint64_t kEventsMax = 1'000'000'000'000'000;
constexpr Duration kSpanMax = 4'000'000'000'000'000'000;

// java.util.Random.
class JavaRandom {
 public:
  explicit JavaRandom(uint64_t seed) : seed_((seed ^ kFactor) & kMask) {}

  int32_t Int() { return static_cast<int32_t>(Next<32>()); }
  // In [0, bound).
  int32_t Int(int32_t bound) {
    const int32_t u = static_cast<int32_t>(Next<31>());
    if ((bound & (bound - 1)) == 0) {
      return static_cast<int32_t>((static_cast<int64_t>(bound) * u) >> 31);
    }
    return Fair(u, bound);
  }
  template <int32_t bound>
  int32_t IntBelow() {
    static_assert((bound & (bound - 1)) != 0);
    return Fair(static_cast<int32_t>(Next<31>()), bound);
  }
  int64_t Long(int64_t bound) {
    if (bound < std::numeric_limits<int32_t>::max()) return Int(static_cast<int32_t>(bound));
    const uint64_t high = static_cast<uint64_t>(static_cast<int64_t>(Int())) << 32;
    return std::abs(static_cast<int64_t>(high + static_cast<uint64_t>(int64_t{Int()})) % bound);
  }
  double Double() {
    const uint64_t high = Next<26>();
    return static_cast<double>((high << 27) + Next<27>()) * 0x1.0p-53;
  }

 private:
  static constexpr uint64_t kFactor = 0x5DEECE66D;
  static constexpr uint64_t kMask = (uint64_t{1} << 48) - 1;

  template <int bits>
  uint32_t Next() {
    seed_ = (seed_ * kFactor + 0xB) & kMask;
    return static_cast<uint32_t>(seed_ >> (48 - bits));
  }
  // Draws that would favour some remainders are drawn again.
  int32_t Fair(int32_t u, int32_t bound) {
    int32_t rest = u % bound;
    while (int64_t{u} - rest + (bound - 1) > std::numeric_limits<int32_t>::max()) {
      u = static_cast<int32_t>(Next<31>());
      rest = u % bound;
    }
    return rest;
  }

  uint64_t seed_;
};

// 'a' + n % 26 and 'a' + n / 26 % 26 for all remainders n of 26 * 26, negative ones included.
constexpr int kPairs = 26 * 26;
constexpr auto kPairOf = [] {
  std::array<std::array<char, 2>, 2 * kPairs - 1> pairs{};
  for (int n = 1 - kPairs; n < kPairs; ++n) {
    pairs[n + kPairs - 1] = {static_cast<char>('a' + n % 26), static_cast<char>('a' + n / 26)};
  }
  return pairs;
}();

int64_t LastPerson(uint64_t event_id) {
  return static_cast<int64_t>(event_id / kEpoch * kPeople +
                              std::min(event_id % kEpoch, kPeople - 1));
}

int64_t LastAuction(uint64_t event_id) {
  const auto epoch = static_cast<int64_t>(event_id / kEpoch);
  const uint64_t offset = event_id % kEpoch;
  constexpr auto kPerEpoch = static_cast<int64_t>(kAuctions);
  if (offset < kPeople) return epoch * kPerEpoch - 1;
  return epoch * kPerEpoch + std::min(static_cast<int64_t>(offset - kPeople), kPerEpoch - 1);
}

}  // namespace

// Makes one event. Strings are written to `p`.
class NexmarkGenerator::Maker {
 public:
  Maker(const NexmarkGenerator& generator, uint64_t event_id, char*& p)
      : generator_(generator),
        options_(generator.options_),
        event_id_(event_id),
        time_(generator.TimeOf(event_id)),
        random_(event_id),
        p_(p) {}

  NexmarkEvent Make() {
    const uint64_t offset = event_id_ % kEpoch;
    if (offset < kPeople) return {event_id_, Person()};
    if (offset < kPeople + kAuctions) return {event_id_, Auction()};
    return {event_id_, Bid()};
  }
  Timestamp time() const { return time_; }

 private:
  NexmarkPerson Person() {
    NexmarkPerson person;
    person.id = LastPerson(event_id_) + kFirstPersonId;
    const char* start = p_;
    Put(OneOf(kFirstNames));
    Put(" ");
    Put(OneOf(kLastNames));
    person.name = Since(start);
    start = p_;
    String(7);
    Put("@");
    String(5);
    Put(".com");
    person.email = Since(start);
    start = p_;
    for (int i = 0; i < 4; ++i) {
      if (i > 0) Put(" ");
      p_ = fmt::format_to(p_, "{:04}", random_.IntBelow<10'000>());
    }
    person.credit_card = Since(start);
    person.city = Put(OneOf(kCities));
    person.state = Put(OneOf(kStates));
    person.date_time = time_;
    person.extra = Extra(8 + person.name.size() + person.email.size() + person.credit_card.size() +
                             person.city.size() + person.state.size(),
                         options_.person_bytes);
    return person;
  }

  NexmarkAuction Auction() {
    NexmarkAuction auction;
    auction.id = LastAuction(event_id_) + kFirstAuctionId;
    const int64_t hot = LastPerson(event_id_) / kHotEvery * kHotEvery;
    auction.seller =
        (random_.Int(options_.hot_seller_ratio) > 0 ? hot : AnyPerson()) + kFirstPersonId;
    auction.category = kFirstCategoryId + random_.IntBelow<kCategories>();
    auction.initial_bid = Price();
    auction.date_time = time_;
    auction.expires = time_ + Length();
    auction.item_name = String(20);
    auction.description = String(100);
    auction.reserve = auction.initial_bid + Price();
    auction.extra = Extra(6 * 8 + auction.item_name.size() + auction.description.size(),
                          options_.auction_bytes);
    return auction;
  }

  NexmarkBid Bid() {
    NexmarkBid bid;
    const int64_t hot_auction = LastAuction(event_id_) / kHotEvery * kHotEvery;
    bid.auction = (random_.Int(options_.hot_auction_ratio) > 0 ? hot_auction : AnyAuction()) +
                  kFirstAuctionId;
    // The second one, so that it is no hot seller.
    const int64_t hot_bidder = LastPerson(event_id_) / kHotEvery * kHotEvery + 1;
    bid.bidder =
        (random_.Int(options_.hot_bidder_ratio) > 0 ? hot_bidder : AnyPerson()) + kFirstPersonId;
    bid.price = Price();
    bid.date_time = time_;
    bid.extra = Extra(4 * 8, options_.bid_bytes);
    return bid;
  }

  int64_t AnyPerson() {
    const int64_t people = LastPerson(event_id_) + 1;
    const int64_t active = std::min<int64_t>(people, options_.active_people);
    return people - active + random_.Long(active + kIdLead);
  }
  int64_t AnyAuction() {
    const int64_t last = LastAuction(event_id_);
    const int64_t first = std::max<int64_t>(last - options_.in_flight_auctions, 0);
    return first + random_.Long(last - first + 1 + kIdLead);
  }
  int64_t Price() {
    return static_cast<int64_t>(std::floor(std::pow(10.0, random_.Double() * 6.0) * 100.0 + 0.5));
  }
  // On average what it takes until as many auctions have come as are in flight.
  Duration Length() {
    const uint64_t events = static_cast<uint64_t>(options_.in_flight_auctions) * kEpoch / kAuctions;
    const int64_t horizon_ms = (generator_.TimeOf(event_id_ + events) - time_) / 1000;
    return Milliseconds(1 + random_.Long(std::max<int64_t>(horizon_ms * 2, 1)));
  }

  std::string_view OneOf(Names names) {
    return names[random_.Int(static_cast<int32_t>(names.size()))];
  }
  std::string_view Put(std::string_view text) {
    std::memcpy(p_, text.data(), text.size());
    p_ += text.size();
    return {p_ - text.size(), text.size()};
  }
  std::string_view Since(const char* start) const {
    return {start, static_cast<size_t>(p_ - start)};
  }

  // Letters and some blanks, none at its ends, in fewer than so many bytes.
  std::string_view String(size_t bytes) {
    char* const start = p_;
    const size_t length = kStringMin + random_.Int(static_cast<int32_t>(bytes - kStringMin));
    char* end = start;
    char* first = nullptr;
    for (size_t i = 0; i < length; ++i) {
      if (random_.IntBelow<13>() == 0) {
        if (first != nullptr) *p_++ = ' ';
        continue;
      }
      if (first == nullptr) first = p_;
      *p_++ = static_cast<char>('a' + random_.IntBelow<26>());
      end = p_;
    }
    p_ = end;
    return {start, static_cast<size_t>(end - start)};
  }

  // What fills a row of so many bytes up to a size that is, on average, that of `bytes`.
  std::string_view Extra(size_t bytes_so_far, int bytes) {
    const int missing = bytes - static_cast<int>(bytes_so_far);
    if (missing < 0) return {};
    const int delta = static_cast<int>(std::floor(missing * 0.2 + 0.5));
    const int length = missing - delta + (delta == 0 ? 0 : random_.Int(2 * delta));
    const char* const start = p_;
    // Six characters a draw. The last one may be written longer than it counts.
    for (int done = 0; done < length; done += 6) {
      const int32_t six = random_.Int();
      const int32_t four = six / kPairs;
      Pair(six % kPairs, p_ + done);
      Pair(four % kPairs, p_ + done + 2);
      Pair(four / kPairs % kPairs, p_ + done + 4);
    }
    p_ += length;
    return {start, static_cast<size_t>(length)};
  }
  static void Pair(int32_t remainder, char* to) {
    std::memcpy(to, kPairOf[remainder + kPairs - 1].data(), 2);
  }

  const NexmarkGenerator& generator_;
  const NexmarkOptions& options_;
  const uint64_t event_id_;
  const Timestamp time_;
  JavaRandom random_;
  char*& p_;
};

NexmarkGenerator::NexmarkGenerator(const NexmarkOptions& options)
    : options_(options),
      event_view_bytes_max_(
          kStringsMax + 8 +
          static_cast<size_t>(
              1.2 * std::max({options.person_bytes, options.auction_bytes, options.bid_bytes}))) {}

void NexmarkGenerator::Generate(uint64_t first, size_t n, Batch<NexmarkEvent>& batch) const {
  batch.Reserve(batch.rows() + n);
  const uint64_t end = first + n;
  while (first < end) {
    SlabBuilder slab(std::max(kSlabBytes, event_view_bytes_max_));
    char* p = slab.data();
    const char* const last = p + slab.capacity() - event_view_bytes_max_;
    for (; first < end && p <= last; ++first) {
      Maker maker(*this, EventIdOf(first), p);
      batch.Add(maker.Make(), maker.time());
    }
    const size_t bytes = p - slab.data();
    batch.AddViewBytes(bytes);
    batch.slabs().Add(slab.Finish(bytes));
  }
}

Timestamp NexmarkGenerator::EarliestFrom(uint64_t number) const {
  return TimeOf(number / options_.out_of_order_group * options_.out_of_order_group);
}

// In whole milliseconds.
Timestamp NexmarkGenerator::TimeOf(uint64_t event_id) const {
  const int64_t since_ms = static_cast<int64_t>(event_id) * options_.event_delay / 1000;
  return options_.base_time + Milliseconds(since_ms);
}

uint64_t NexmarkGenerator::EventIdOf(uint64_t number) const {
  const uint64_t group = options_.out_of_order_group;
  if (group == 1) return number;
  return number / group * group + number * kShuffle % group;
}

uint64_t NexmarkEventsMax(const NexmarkOptions& options) {
  const auto delay = static_cast<uint64_t>(std::max<Duration>(options.event_delay, 1));
  return std::min(kEventsMax, kSpanMax / delay);
}

double NexmarkEventBytes(const NexmarkOptions& options) {
  const double bytes = static_cast<double>(kPeople) * options.person_bytes +
                       static_cast<double>(kAuctions) * options.auction_bytes +
                       static_cast<double>(kEpoch - kPeople - kAuctions) * options.bid_bytes;
  return bytes / static_cast<double>(kEpoch);
}

Status CheckNexmarkOptions(const NexmarkOptions& options) {
  const auto in = [](std::string_view name, auto value, int64_t least, int64_t most) {
    if (std::cmp_greater_equal(value, least) && std::cmp_less_equal(value, most)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        fmt::format("the NEXMark option {} is {}: it may be {} to {}", name, value, least, most));
  };
  constexpr int64_t kMany = 1'000'000;
  WEIR_RETURN_IF_ERROR(in("base_time", options.base_time, -kSpanMax, kSpanMax));
  WEIR_RETURN_IF_ERROR(in("event_delay", options.event_delay, 0, Seconds(1)));
  WEIR_RETURN_IF_ERROR(
      in("events", options.events, 0, static_cast<int64_t>(NexmarkEventsMax(options))));
  WEIR_RETURN_IF_ERROR(in("splits", options.splits, 1, kKeyGroups));
  WEIR_RETURN_IF_ERROR(in("out_of_order_group", options.out_of_order_group, 1, kMany));
  if (options.out_of_order_group % kShuffle == 0) {
    return absl::InvalidArgumentError(fmt::format(
        "the NEXMark option out_of_order_group is {}: a multiple of {} has events twice",
        options.out_of_order_group, kShuffle));
  }
  WEIR_RETURN_IF_ERROR(in("hot_auction_ratio", options.hot_auction_ratio, 1, kMany));
  WEIR_RETURN_IF_ERROR(in("hot_bidder_ratio", options.hot_bidder_ratio, 1, kMany));
  WEIR_RETURN_IF_ERROR(in("hot_seller_ratio", options.hot_seller_ratio, 1, kMany));
  WEIR_RETURN_IF_ERROR(in("active_people", options.active_people, 1, kMany));
  WEIR_RETURN_IF_ERROR(in("in_flight_auctions", options.in_flight_auctions, 1, kMany));
  WEIR_RETURN_IF_ERROR(in("person_bytes", options.person_bytes, 0, kMany));
  WEIR_RETURN_IF_ERROR(in("auction_bytes", options.auction_bytes, 0, kMany));
  WEIR_RETURN_IF_ERROR(in("bid_bytes", options.bid_bytes, 0, kMany));
  if (!(options.rate >= 0)) {
    return absl::InvalidArgumentError(
        fmt::format("the NEXMark option rate is {}: it may not be negative", options.rate));
  }
  return absl::OkStatus();
}

}  // namespace weir
