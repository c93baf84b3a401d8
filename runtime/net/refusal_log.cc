#include "runtime/net/refusal_log.h"

#include <fmt/format.h>

namespace weir {

void RefusalLog::Add(std::string_view line, int64_t now_micros) {
  if (now_micros - since_ > period_) {
    if (count_ > lines_max_) log_(fmt::format(fmt::runtime(what_), count_ - lines_max_));
    since_ = now_micros;
    count_ = 0;
  }
  if (++count_ <= lines_max_) log_(line);
}

}  // namespace weir
