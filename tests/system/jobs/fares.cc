// The fares of rides, built several times with another constant (rush.h), which two of these
// libraries in one process would share.
//
// {"id":"a","priority":7,"price":10} in, {"id":"a","fare":20} out for each.
#include <algorithm>

#include "jobs/job.h"
#include "tests/system/jobs/rush.h"

namespace {

struct Ride {
  std::string_view id;
  int64_t priority = 0;
  double price = 0;
  BOOST_DESCRIBE_CLASS(Ride, (), (id, priority, price), (), ())
};

struct Fare {
  std::string_view id;
  double fare = 0;
  BOOST_DESCRIBE_CLASS(Fare, (), (id, fare), (), ())
};

Fare FareOf(const Ride& ride) {
  const auto last = static_cast<int64_t>(Rush::factors.size()) - 1;
  return {ride.id, ride.price * Rush::factors[std::clamp<int64_t>(ride.priority, 0, last)]};
}

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string input = params.Path("input", "the folder of the rides");
  const std::string out = params.Path("out", "the folder of the fares");
  job.From("rides", weir::JsonFiles<Ride>({.input = input}))
      .Map("fare", FareOf)
      .To("fares", weir::JsonFileSink<Fare>({.directory = out, .by_partition = false}));
}

}  // namespace

WEIR_JOB(fares, Build)
