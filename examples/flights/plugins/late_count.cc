// Keeps state: counts the late departures of each airport, and writes into the line of a late one
// which it is. Every so many of an airport there is an alert, on an output of its own, so that it
// passes neither later plugins nor the router.
//
//   -D plugin.late_count.minutes=15   from this delay on a departure is late
//   -D plugin.late_count.every=50     late departures of an airport for one alert
#include "examples/flights/plugins/json_line.h"
#include "operators/plugin.h"

namespace {

class LateCount {
 public:
  explicit LateCount(weir::plugin::Setup& setup)
      : minutes_(setup.Integer("minutes", 15)),
        every_(setup.Integer("every", 50)),
        late_(setup.State<int64_t>("late")),
        alerts_(setup.Output("alerts")),
        airports_(setup.Counter("airports")) {
    setup.KeyBy(weir::plugin::Key::kTenant);
    if (every_ < 1) setup.Reject("every", "must be at least 1");
  }

  void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
    const auto delay = flights::FindInteger(parser_, event.payload, "delay");
    if (!delay || *delay < minutes_) return out.Keep();
    const int64_t late = out.Get(late_).value_or(0) + 1;
    out.Set(late_, late);
    if (late == 1) out.Count(airports_);
    const std::string number = std::to_string(late);
    out.Emit({.payload = flights::WithMember(event.payload, "late", number)});
    if (late % every_ != 0) return;
    std::string alert = "{\"id\":" + flights::Quoted(std::string(event.tenant) + "-" + number);
    alert += ",\"type\":\"late\",\"tenant\":" + flights::Quoted(event.tenant);
    alert += ",\"late\":" + number + "}";
    out.Emit(alerts_, {.payload = alert});
  }

 private:
  const int64_t minutes_;
  const int64_t every_;
  const weir::plugin::StateOf<int64_t> late_;
  const weir::plugin::SideOutput alerts_;
  const weir::plugin::Counter airports_;
  simdjson::ondemand::parser parser_;
};

}  // namespace

WEIR_PLUGIN(late_count, "1.0.0", LateCount)
