// JsonLineDecoder: JSON lines as rows of a type that has a Codec, for jobs that have rows of their
// own.
//
//   auto decoder = MakeJsonLineDecoder<Departure>([](const Departure& d) { return d.time; });
//
// The function gives a row's event time: a Timestamp or a std::optional<Timestamp>, where nullopt
// is an unusable time. Without a function rows have the time of their arrival. Missing members keep
// their defaults, unknown ones are ignored; a line that is no JSON object, or has a member of
// another kind, is rejected.
#pragma once

#include <memory>
#include <utility>

#include "core/codec.h"
#include "operators/sources/line_decoder.h"

namespace weir {

struct ArrivalTime {};

template <class T, class TimeFn>
class JsonLineDecoder final : public LineDecoder {
 public:
  explicit JsonLineDecoder(TimeFn time) : time_(std::move(time)) {}

  BatchPtr NewBatch(size_t rows) const override {
    auto batch = std::make_unique<Batch<T>>();
    batch->Reserve(rows);
    return batch;
  }
  bool has_time() const override { return !std::is_same_v<TimeFn, ArrivalTime>; }
  bool keeps_lines() const override { return false; }

  void Decode(std::span<const Line> lines, LineGroup& group, BatchBase& batch,
              Output& out) override {
    Batch<T>& rows = Batch<T>::Of(batch);
    SlabArena arena;
    size_t view_bytes = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (IsBlankLine(lines[i].text)) continue;
      T row{};
      if (Status status = Read(lines[i].text, row, arena); !status.ok()) {
        const Status where = Annotate(status, group.Where(lines[i], i));
        out.Reject({where.message().data(), where.message().size()}, lines[i].text,
                   group.FallbackTime());
        continue;
      }
      Timestamp time = group.arrival;
      if constexpr (!std::is_same_v<TimeFn, ArrivalTime>) time = group.TakeTime(time_(row));
      view_bytes += Codec<T>::ViewBytes(row);
      rows.Add(std::move(row), time);
    }
    rows.AddViewBytes(view_bytes);
    arena.Release(rows.slabs());
  }

 private:
  Status Read(std::string_view text, T& row, SlabArena& arena) {
    WEIR_ASSIGN_OR_RETURN(JsonValue value, parser_.Parse(text));
    if (value.kind() != JsonValue::Kind::kObject) {
      return absl::InvalidArgumentError("the line is no JSON object");
    }
    return Codec<T>::ReadJson(value, row, arena);
  }

  TimeFn time_;
  JsonParser parser_;
};

template <class T, class TimeFn = ArrivalTime>
std::unique_ptr<LineDecoder> MakeJsonLineDecoder(TimeFn time = {}) {
  return std::make_unique<JsonLineDecoder<T, TimeFn>>(std::move(time));
}

}  // namespace weir
