// How late do flights leave each airport? For every departure, the airport's count and mean delay
// so far.
#include <string>

#include "jobs/job.h"

namespace {

struct Departure {
  std::string_view id;
  std::string_view time;
  std::string_view origin;
  int64_t delay = 0;  // minutes

  BOOST_DESCRIBE_CLASS(Departure, (), (id, time, origin, delay), (), ())
};

struct Airport {
  std::string_view origin;
  int64_t departures = 0;
  double mean_delay = 0;

  BOOST_DESCRIBE_CLASS(Airport, (), (origin, departures, mean_delay), (), ())
};

struct Totals {
  int64_t departures = 0;
  int64_t delay = 0;

  BOOST_DESCRIBE_CLASS(Totals, (), (departures, delay), (), ())
};

class MeanDelay {
 public:
  weir::Status Open(weir::KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(totals_, weir::ValueState<Totals>::Register(store, "totals"));
    return absl::OkStatus();
  }

  weir::Status Process(const Departure& departure, weir::ProcessContext<Airport>& context) {
    WEIR_ASSIGN_OR_RETURN(auto stored, totals_.Get(context.key()));
    Totals totals = stored.value_or(Totals{});
    ++totals.departures;
    totals.delay += departure.delay;
    WEIR_RETURN_IF_ERROR(totals_.Set(context.key(), totals));
    context.Emit({departure.origin, totals.departures,
                  static_cast<double>(totals.delay) / static_cast<double>(totals.departures)});
    return absl::OkStatus();
  }

 private:
  weir::ValueState<Totals> totals_;
};

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string input = params.Path("input", "the folder of the flights");
  const std::string out = params.Path("out", "the folder of the results");
  const double rate = params.Number("rate", "departures per second, 0: as fast as it goes", 0);

  job.From("departures", weir::JsonFiles<Departure>({.input = input, .rate = rate},
                                                    [](const Departure& d) { return d.time; }))
      .Dedup("once", {.window = weir::Hours(24)}, [](const Departure& d) { return d.id; })
      .KeyBy([](const Departure& d) { return d.origin; })
      .Process<Airport>("mean-delay", MeanDelay())
      .To("airports", weir::JsonFileSink<Airport>({.directory = out, .by_partition = false}));
  job.DeadLetters("dead-letters", weir::DeadLetterFileSink(
                                      {.directory = out + "/dead-letters", .by_partition = false}));
}

}  // namespace

WEIR_JOB(flights, Build)
