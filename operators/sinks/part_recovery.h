// What a file sink does with part files that already lie on the disk: commit, clean up, take back,
// bring those that were open back to what a checkpoint knows, look whose they are. Internal to
// operators/sinks.
//
// All of it may be interrupted at any step and repeated by another process. What a function does is
// durable once the SyncBatch that it was given has run. Functions keep no state and may be called
// from any thread.
#pragma once

#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/part_name.h"
#include "operators/sinks/sync_batch.h"

namespace weir {

// The folders of a part, pending and committed.
Status MakePartFolders(Disk& disk, const Part& part, SyncBatch& sync);

// Makes the part visible. OK if it is already, whoever did it, and, where parts may be taken away,
// if it must have been.
Status CommitPart(Disk& disk, const Part& part, bool may_be_taken_away, SyncBatch& sync);

// Of a part that was open at the checkpoint that is restored and may have been written on,
// committed and revoked since, copies the first part.bytes bytes, be they in the pending file or in
// a revoked one. `copy` has a pending name that nobody else uses, in the same folder. Once it is
// durable, and not before, it may take the place of the pending file, and CommitPart() may follow.
// Later committed files of the same part are revoked first. False: there is nothing to commit,
// because that is done, or because the part may be taken away and was.
StatusOr<bool> CutOpenPart(Disk& disk, const Part& part, const Part& copy, bool may_be_taken_away,
                           SyncBatch& sync);
// Would CutOpenPart() find these bytes, now or once what came later is revoked? OutOfRange if not.
Status CheckOpenPart(Disk& disk, const Part& part, bool may_be_taken_away);

// The labels of the partitions that have folders; {""} if `by_partition` is false. Empty if there
// is no such directory.
StatusOr<std::vector<std::string>> ListPartitions(Disk& disk, const std::string& directory,
                                                  bool by_partition);
// All committed files of any job below a partition's folder, at any time path, by name order.
StatusOr<std::vector<Part>> ListCommitted(Disk& disk, const std::string& directory,
                                          const std::string& partition);

// `own` names directory, partition, job, stage and attempt; only their files are touched, and none
// of a later attempt: who calls may be slow, and over.
Status RemovePending(Disk& disk, const Part& own);
// A committed file becomes a revoked one.
Status RevokePart(Disk& disk, const Part& part, SyncBatch& sync);
// The folders of what has been revoked of a partition: an earlier, interrupted call may have moved
// it and not come further.
Status AddRevokedFolders(Disk& disk, const std::string& directory, const std::string& partition,
                         SyncBatch& sync);

}  // namespace weir
