// EventDecoder: JSON lines as Events, read as operators/event_reader.h says. A line is rejected
// that is no JSON object, or whose id is missing or of another kind. Without a field of the time it
// is arrival.
#pragma once

#include "operators/event_reader.h"
#include "operators/sources/line_decoder.h"

namespace weir {

class EventDecoder final : public LineDecoder {
 public:
  explicit EventDecoder(EventFields fields) : reader_(std::move(fields)) {}

  BatchPtr NewBatch(size_t rows) const override;
  bool has_time() const override { return reader_.has_time(); }
  bool keeps_lines() const override { return true; }
  void Decode(std::span<const Line> lines, LineGroup& group, BatchBase& batch,
              Output& out) override;

 private:
  EventReader reader_;
};

}  // namespace weir
