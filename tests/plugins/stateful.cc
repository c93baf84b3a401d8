// A plugin with a state of every type, two side outputs and two counters; the type of an event says
// what it does with them, and its tenant is the key unless the setting `key` says otherwise. The
// setting `declare` makes its declarations wrong, in one way or another.
#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

#include "operators/plugin.h"

namespace {

using weir::plugin::Event;
using weir::plugin::Key;
using weir::plugin::Output;
using weir::plugin::Setup;

class Stateful {
 public:
  explicit Stateful(Setup& setup)
      : seen_(setup.State<int64_t>("seen")),
        // A double and an integer have the same size.
        mean_{setup.Text("mean", "number") == "integer" ? setup.State<int64_t>("mean").index
                                                        : setup.State<double>("mean").index},
        text_(setup.State<std::string>("text",
                                       std::chrono::minutes(setup.Integer("ttl_minutes", 0)))),
        alerts_(setup.Output("alerts")),
        copies_(setup.Output("copies")),
        tally_(setup.Counter("tally")),
        steps_(setup.Counter("steps")) {
    const std::string key = setup.Text("key", "tenant");
    if (key != "none") {
      setup.KeyBy(key == "id" ? Key::kId : key == "type" ? Key::kType : Key::kTenant);
    }
    const std::string declare = setup.Text("declare", "");
    if (declare == "twice") {
      setup.State<double>("seen");
      setup.Output("alerts");
      setup.Counter("tally");
      setup.KeyBy(Key::kId);
    }
    if (declare == "names") {
      setup.State<double>("no/name");
      setup.Output("");
      setup.Counter(std::string(100, 'x'));
      setup.State<double>("negative", std::chrono::microseconds(-1));
      setup.KeyBy(static_cast<Key>(9));
    }
    if (declare == "many") {
      for (int i = 0; i < 100; ++i) {
        setup.State<double>("s" + std::to_string(i));
        setup.Output("o" + std::to_string(i));
        setup.Counter("c" + std::to_string(i));
      }
    }
    static int created = 0;
    if (declare == "fickle") setup.Output("n" + std::to_string(++created));
  }

  void Process(const Event& event, Output& out) {
    const std::string_view act = event.type;
    if (act == "count" || act == "count-then-throw" || act == "count-then-rubbish") {
      const int64_t seen = out.Get(seen_).value_or(0) + 1;
      out.Set(seen_, seen);
      if (out.Get(seen_) != seen) throw std::runtime_error("does not see its own write");
      out.Set(mean_, out.Get(mean_).value_or(0) + 0.5);
      out.Count(tally_);
      out.Count(steps_, 10);
      out.Count(tally_);
      Emit(out, std::to_string(seen));
      if (act == "count-then-throw") throw std::runtime_error("after all that");
      if (act == "count-then-rubbish") out.Emit(alerts_, {.payload = "rubbish"});
      return;
    }
    if (act == "read") {
      const auto text = out.Get(text_);
      return Emit(out, std::to_string(out.Get(seen_).value_or(0)) + "/" +
                           std::to_string(out.Get(mean_).value_or(0)) + "/" +
                           (text ? std::string(*text) : "none"));
    }
    if (act == "text") return out.Set(text_, event.payload);
    if (act == "cut-text") return out.Set(text_, out.Get(text_)->substr(1));
    if (act == "clear") {
      out.Clear(seen_);
      out.Clear(mean_);
      out.Clear(text_);
      return Emit(out, out.Get(seen_) ? "there" : "gone");
    }
    if (act == "alert") return out.Keep(alerts_);
    if (act == "both") {
      out.Emit(alerts_, {.payload = R"({"id":"alert"})", .priority = 9});
      out.Keep(copies_);
      return out.Keep();
    }
    if (act == "large-value") return out.Set(text_, std::string(70'000, 'x'));
    if (act == "wrong-state") return out.Set(weir::plugin::StateOf<int64_t>{7}, 1);
    if (act == "wrong-size")
      return out.Set(weir::plugin::StateOf<std::string>{seen_.index}, "four");
    if (act == "wrong-output") return out.Keep(weir::plugin::SideOutput{3});
    if (act == "wrong-counter") return out.Count(weir::plugin::Counter{2});
    if (act == "swallow") {
      try {
        out.Set(weir::plugin::StateOf<int64_t>{7}, 1);
      } catch (...) {
      }
    }
    if (act == "drop") return;
    out.Keep();
  }

 private:
  static void Emit(Output& out, std::string text) {
    std::replace(text.begin(), text.end(), '"', '\'');
    out.Emit({.payload = R"({"says":")" + text + "\"}"});
  }

  weir::plugin::StateOf<int64_t> seen_;
  weir::plugin::StateOf<double> mean_;
  weir::plugin::StateOf<std::string> text_;
  weir::plugin::SideOutput alerts_, copies_;
  weir::plugin::Counter tally_, steps_;
};

}  // namespace

WEIR_PLUGIN(stateful, "3.0", Stateful)
