// What a file sink does with part files that already lie on the disk: commit, clean up, take back,
// look whose they are. Internal to operators/sinks.
//
// All of it may be interrupted at any step and repeated by another process. Functions keep no state
// and may be called from any thread.
#pragma once

#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/part_name.h"

namespace weir {

// Makes the part visible, durably. OK if it is already, whoever did it, and, where parts may be
// taken away, if it must have been.
Status CommitPart(Disk& disk, const Part& part, bool may_be_taken_away);

// The labels of the partitions that have folders; {""} if `by_partition` is false. Empty if there
// is no such directory.
StatusOr<std::vector<std::string>> ListPartitions(Disk& disk, const std::string& directory,
                                                  bool by_partition);

// `own` names directory, partition, job and stage; only their files are touched.
Status RemovePending(Disk& disk, const Part& own);
// Moves what was committed by checkpoints after `restored` to .revoked/.
Status RevokeAfter(Disk& disk, const Part& own, uint64_t restored);

}  // namespace weir
