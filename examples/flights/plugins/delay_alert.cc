// Adds an event: passes each departure on, and behind one that is very late an alert that has it
// inside. The alert has no time of its own, so it keeps the departure's.
//
//   -D plugin.delay_alert.minutes=120   from this delay on there is an alert
#include "examples/flights/plugins/json_line.h"
#include "operators/plugin.h"

namespace {

class DelayAlert {
 public:
  explicit DelayAlert(weir::plugin::Settings& settings)
      : minutes_(settings.Integer("minutes", 120)) {}

  void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
    out.Keep();
    const auto delay = flights::FindInteger(parser_, event.payload, "delay");
    if (!delay || *delay < minutes_) return;
    std::string alert = "{\"id\":" + flights::Quoted("alert-" + std::string(event.id));
    alert += ",\"type\":\"alert\",\"priority\":9,\"tenant\":" + flights::Quoted(event.tenant);
    alert += ",\"departure\":" + std::string(event.payload) + "}";
    out.Emit({.payload = alert});
  }

 private:
  const int64_t minutes_;
  simdjson::ondemand::parser parser_;
};

}  // namespace

WEIR_PLUGIN(delay_alert, "1.0.0", DelayAlert)
