#include "operators/sources/event_decoder.h"

namespace weir {

BatchPtr EventDecoder::NewBatch(size_t rows) const {
  auto batch = std::make_unique<Batch<Event>>();
  batch->Reserve(rows);
  return batch;
}

void EventDecoder::Decode(std::span<const Line> lines, LineGroup& group, BatchBase& batch,
                          Output& out) {
  Batch<Event>& rows = Batch<Event>::Of(batch);
  size_t line_bytes = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i].text;
    if (IsBlankLine(line)) continue;
    Event event;
    std::optional<Timestamp> time;
    if (Status status = reader_.Read(line, event, time); !status.ok()) {
      const Status where = Annotate(status, group.Where(lines[i], i));
      out.Reject({where.message().data(), where.message().size()}, line, group.FallbackTime());
      continue;
    }
    event.time = has_time() ? group.TakeTime(time) : group.arrival;
    line_bytes += line.size();
    rows.Add(event, event.time);
  }
  rows.AddViewBytes(line_bytes);
  rows.AddViewBytes(reader_.Release(rows.slabs()));
}

}  // namespace weir
