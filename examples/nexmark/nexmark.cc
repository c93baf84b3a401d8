// Four queries of the NEXMark benchmark: what passes everything on (q0), what converts (q1), what
// selects (q2), and what remembers (q18). README.md says what each one puts out.
#include <string>
#include <tuple>

#include "jobs/job.h"

namespace {

struct Bid {
  uint64_t event_id = 0;
  int64_t auction = 0;
  int64_t bidder = 0;
  int64_t price = 0;
  weir::Timestamp date_time = 0;
  std::string_view extra;

  BOOST_DESCRIBE_CLASS(Bid, (), (event_id, auction, bidder, price, date_time, extra), (), ())
};

struct AuctionPrice {
  int64_t auction = 0;
  int64_t price = 0;

  BOOST_DESCRIBE_CLASS(AuctionPrice, (), (auction, price), (), ())
};

Bid BidOf(const weir::NexmarkEvent& event) {
  const weir::NexmarkBid& bid = *event.bid();
  return {event.event_id, bid.auction, bid.bidder, bid.price, bid.date_time, bid.extra};
}

// What is kept of a pair's last bid.
struct LastBid {
  uint64_t event_id = 0;
  int64_t price = 0;
  weir::Timestamp date_time = 0;
  std::string extra;

  BOOST_DESCRIBE_CLASS(LastBid, (), (event_id, price, date_time, extra), (), ())
};

using Pair = std::tuple<int64_t, int64_t>;  // auction and bidder
Pair PairOf(const Bid& bid) { return {bid.auction, bid.bidder}; }

// The last bid of each pair by event time; of two in one millisecond the one with the higher id.
// Puts it out when there is no more input, or each bid that replaces another at once.
class FindLastBid {
 public:
  explicit FindLastBid(bool updates) : updates_(updates) {}

  weir::Status Open(weir::KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(last_, weir::ValueState<LastBid>::Register(store, "last"));
    return absl::OkStatus();
  }

  weir::Status Process(const Bid& bid, weir::ProcessContext<Bid>& context) {
    WEIR_ASSIGN_OR_RETURN(const auto last, last_.Get(context.key()));
    if (last && std::tie(last->date_time, last->event_id) > std::tie(bid.date_time, bid.event_id)) {
      return absl::OkStatus();
    }
    WEIR_RETURN_IF_ERROR(
        last_.Set(context.key(), {bid.event_id, bid.price, bid.date_time, std::string(bid.extra)}));
    if (updates_) {
      context.Emit(bid);
      return absl::OkStatus();
    }
    if (last) return absl::OkStatus();  // its timer is set
    return context.SetTimer(weir::TimerKind::kEventTime, weir::kMaxTimestamp);
  }

  weir::Status OnTimer(weir::TimerKind, weir::Timestamp, weir::ProcessContext<Bid>& context) {
    Pair pair;
    weir::ByteReader key(context.key().bytes);
    WEIR_ASSIGN_OR_RETURN(const auto last, last_.Get(context.key()));
    if (!last || !weir::Codec<Pair>::Decode(key, pair)) {
      return absl::InternalError("a timer without a bid");
    }
    context.Emit({last->event_id, std::get<0>(pair), std::get<1>(pair), last->price,
                  last->date_time, context.Keep(last->extra)},
                 last->date_time);
    return absl::OkStatus();
  }

 private:
  bool updates_;
  weir::ValueState<LastBid> last_;
};

// To files in `out`, or nowhere.
template <class T>
weir::SinkSpec<T> Results(const std::string& out) {
  if (out.empty()) return weir::Blackhole<T>();
  return weir::JsonFileSink<T>({.directory = out, .by_partition = false});
}

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string query = params.Text("query", "q0, q1, q2 or q18");
  const std::string out =
      params.Path("out", "the folder of the results; without it they go nowhere", "");
  weir::NexmarkOptions options;
  const int64_t events = params.Integer("events", "how many; 0: without end", 1'000'000);
  options.rate = params.Number("rate", "events per second, 0: as fast as it goes", 0);
  const int64_t group = params.Integer(
      "out-of-order-group", "events whose times are shuffled among each other; 1: none", 1);
  const bool updates =
      params.Flag("updates", "q18: each bid that replaces another, at once", false);
  if (events < 0) params.AddError("events", "must not be negative");
  if (group < 1) params.AddError("out-of-order-group", "must be positive");
  options.events = static_cast<uint64_t>(events);
  options.out_of_order_group = static_cast<uint64_t>(group);

  weir::Stream<weir::NexmarkEvent> source = job.From("events", weir::Nexmark(options));
  if (query == "q0") {
    source.To("results", Results<weir::NexmarkEvent>(out));
    return;
  }
  weir::Stream<weir::NexmarkEvent> bids =
      source.Filter("bids", [](const weir::NexmarkEvent& event) { return event.bid() != nullptr; });
  if (query == "q1") {
    bids.Map("euros",
             [](const weir::NexmarkEvent& event) {
               Bid bid = BidOf(event);
               bid.price = bid.price * 89 / 100;
               return bid;
             })
        .To("results", Results<Bid>(out));
  } else if (query == "q2") {
    bids.Filter("selected",
                [](const weir::NexmarkEvent& event) { return event.bid()->auction % 123 == 0; })
        .Map("prices",
             [](const weir::NexmarkEvent& event) {
               return AuctionPrice{event.bid()->auction, event.bid()->price};
             })
        .To("results", Results<AuctionPrice>(out));
  } else if (query == "q18") {
    bids.Map("rows", BidOf)
        .KeyBy(PairOf)
        .Process<Bid>("last-bid", FindLastBid(updates))
        .To("results", Results<Bid>(out));
  } else {
    params.AddError("query", "must be q0, q1, q2 or q18");
  }
}

}  // namespace

WEIR_JOB(nexmark, Build)
