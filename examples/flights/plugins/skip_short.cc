// Drops departures to near places.
//
//   -D plugin.skip_short.miles=250   nearer ones are dropped
#include "examples/flights/plugins/json_line.h"
#include "operators/plugin.h"

namespace {

class SkipShort {
 public:
  explicit SkipShort(weir::plugin::Settings& settings) : miles_(settings.Integer("miles", 250)) {}

  void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
    const auto distance = flights::FindInteger(parser_, event.payload, "distance");
    if (!distance || *distance >= miles_) out.Keep();
  }

 private:
  const int64_t miles_;
  simdjson::ondemand::parser parser_;
};

}  // namespace

WEIR_PLUGIN(skip_short, "1.0.0", SkipShort)
