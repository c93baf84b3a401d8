// A plugin with a setting of every type, which it writes into each event.
#include <string>

#include "operators/plugin.h"

namespace {

class Fussy {
 public:
  explicit Fussy(weir::plugin::Settings& settings) {
    line_ = R"({"id":1,"text":")" + settings.Text("text");
    line_ += R"(","integer":)" + std::to_string(settings.Integer("integer", 3));
    line_ += R"(,"number":)" + std::to_string(settings.Number("number", 1.5));
    line_ += R"(,"flag":)" + std::string(settings.Flag("flag", false) ? "true" : "false") + "}";
    if (settings.Integer("even", 2) % 2 != 0) settings.Reject("even", "must be even");
    if (settings.Flag("explode", false)) throw std::string("boom");
  }
  void Process(const weir::plugin::Event&, weir::plugin::Output& out) {
    out.Emit({.payload = line_});
  }

 private:
  std::string line_;
};

}  // namespace

WEIR_PLUGIN(fussy, "0.1", Fussy)
