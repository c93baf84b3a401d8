// Pace: how large a batch should be that goes on from here, for those who choose how large their
// batches are: sources, and operators that gather rows.
//
// A barrier waits for all that was emitted in front of it, and that for what follows to take it.
// So where a sink is slow, batches should be small. An Output or a Sink that knows also is a Pace;
// what is none leaves the size open. Asked before each batch, by the task that the instance belongs
// to.
#pragma once

#include <cstddef>
#include <limits>

#include "operators/operator.h"

namespace weir {

class Pace {
 public:
  virtual ~Pace() = default;
  // By BatchBase::bytes(), at least one. A hint: what is larger is taken, too.
  virtual size_t batch_bytes() const = 0;
};

inline constexpr size_t kAnyBatchBytes = std::numeric_limits<size_t>::max();

template <class Receiver>  // Output or Sink
size_t BatchBytesFor(const Receiver& receiver) {
  const auto* pace = dynamic_cast<const Pace*>(&receiver);
  return pace == nullptr ? kAnyBatchBytes : pace->batch_bytes();
}

}  // namespace weir
