// What a channel carries besides batches of rows: watermarks, barriers and the end of the input.
//
// Items of one channel arrive in the order in which they were sent. Every source instance sends
// them, every operator instance sends its own on once it has seen them on all of its inputs.
#pragma once

#include <cstdint>
#include <variant>

#include "core/batch.h"
#include "core/time.h"

namespace weir {

// No row with a time at or below `time` follows; one that does all the same is late. While `idle`,
// the channel has no say: the watermark behind it is that of the other channels. The next watermark
// that is not idle ends this.
struct Watermark {
  Timestamp time = kMinTimestamp;
  bool idle = false;
  bool operator==(const Watermark&) const = default;
};

enum class BarrierKind : uint8_t {
  kCheckpoint = 1,
  kSavepoint,  // a checkpoint that was asked for, self-contained and kept for ever
  kStop,       // a savepoint after which the job ends; no rows follow
  kFinal,      // the last checkpoint of a bounded job; follows the end of every input
};

// Rows in front of it belong to the checkpoint, rows behind it do not.
struct Barrier {
  uint64_t checkpoint = 0;
  BarrierKind kind = BarrierKind::kCheckpoint;
  // The version of the job's reloadable resources by which rows behind it are handled: the
  // checkpoint at whose barrier they took effect, 0 for those that the job was started with.
  uint64_t resources = 0;
  bool operator==(const Barrier&) const = default;
};

// No row and no watermark follows. Barriers still do, until the job ends.
struct EndOfInput {
  bool operator==(const EndOfInput&) const = default;
};

using ChannelItem = std::variant<BatchPtr, Watermark, Barrier, EndOfInput>;

}  // namespace weir
