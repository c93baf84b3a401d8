// Enriches: writes into each departure how late it was, in words.
//
//   -D plugin.delay_class.late=15   minutes from which it counts as late; an hour is "very late"
#include "examples/flights/plugins/json_line.h"
#include "operators/plugin.h"

namespace {

class DelayClass {
 public:
  explicit DelayClass(weir::plugin::Settings& settings) : late_(settings.Integer("late", 15)) {
    if (late_ < 0 || late_ > 60) settings.Reject("late", "must be 0 to 60");
  }

  void Process(const weir::plugin::Event& event, weir::plugin::Output& out) {
    const auto delay = flights::FindInteger(parser_, event.payload, "delay");
    if (!delay) out.Fail("the departure has no delay");
    const char* text = *delay >= 60 ? "very late" : *delay >= late_ ? "late" : "on time";
    out.Emit({.payload = flights::WithMember(event.payload, "delay_class", flights::Quoted(text))});
  }

 private:
  const int64_t late_;
  simdjson::ondemand::parser parser_;
};

}  // namespace

WEIR_PLUGIN(delay_class, "1.0.0", DelayClass)
