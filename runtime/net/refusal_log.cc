#include "runtime/net/refusal_log.h"

#include <fmt/format.h>

namespace weir {

void RefusalLog::Add(std::string_view line, int64_t now_micros) {
  const std::optional<uint64_t> left_out = limit_.Admit(now_micros);
  if (!left_out) return;
  if (*left_out > 0) log_(fmt::format(fmt::runtime(what_), *left_out));
  log_(line);
}

}  // namespace weir
