// LineFormatter: how the rows of a batch become lines, and which partition each belongs to. One
// virtual call per batch; the rows are walked in the implementation, where their type is known.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/batch.h"
#include "core/codec.h"
#include "core/event.h"
#include "operators/sinks/line_writer.h"

namespace weir {

// Belongs to one sink instance, which calls it from its task.
class LineFormatter {
 public:
  virtual ~LineFormatter() = default;
  // Writes each row of the batch to `lines` as one line, or rejects it.
  virtual void Format(const BatchBase& batch, LineWriter& lines) = 0;
};

// Batch<Event>: the payload, byte for byte; the partition is the event's route. A payload with a
// line feed in it (a plugin's doing) would be two lines and is rejected.
class EventLines final : public LineFormatter {
 public:
  void Format(const BatchBase& batch, LineWriter& lines) override;
};

// Batch<DeadLetter>: {"operator":...,"error":...,"record":...}, or "record_base64" where the bytes
// are not UTF-8. One partition, "".
class DeadLetterLines final : public LineFormatter {
 public:
  void Format(const BatchBase& batch, LineWriter& lines) override;

 private:
  JsonWriter json_;
};

// Every row belongs to the partition "".
struct OnePartition {
  template <class T>
  std::string_view operator()(const T&) const {
    return {};
  }
};

// Batch<T>: the row as Codec<T>::WriteJson writes it; PartitionOf(row) names its partition.
template <class T, class PartitionOf = OnePartition>
class JsonLines final : public LineFormatter {
 public:
  explicit JsonLines(PartitionOf partition_of = {}) : partition_of_(std::move(partition_of)) {}

  void Format(const BatchBase& batch, LineWriter& lines) override {
    const auto rows = Batch<T>::Of(batch).values();
    for (size_t i = 0; i < rows.size(); ++i) {
      json_.Clear();
      Codec<T>::WriteJson(rows[i], json_);
      lines.Write(partition_of_(rows[i]), json_.text(), batch.times()[i]);
    }
  }

 private:
  PartitionOf partition_of_;
  JsonWriter json_;
};

}  // namespace weir
