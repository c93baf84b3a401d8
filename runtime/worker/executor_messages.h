// What an executor says to its coordinator, as messages.
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"
#include "runtime/worker/task.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

runtime::ToCoordinator MessageOf(uint32_t attempt);  // empty yet
// The attempt cannot go on.
runtime::ToCoordinator TaskFailedMessage(uint32_t attempt, const Status& status);
// Nothing is left of the attempt here.
runtime::ToCoordinator CanceledMessage(uint32_t attempt);
runtime::ToCoordinator CheckpointAckMessage(uint32_t attempt, TaskId id, CheckpointId checkpoint,
                                            TaskSnapshot snapshot);
runtime::ToCoordinator NoticeMessage(uint32_t attempt, const runtime::Notice& notice);
runtime::ToCoordinator TaskProgressMessage(uint32_t attempt, TaskId id,
                                           const TaskProgressReport& report);

}  // namespace weir
