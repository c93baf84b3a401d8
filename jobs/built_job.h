// BuiltJob: a JobGraph and the code behind its stages and edges, as the job's library built them in
// this process.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/row_codec.h"
#include "jobs/graph.h"
#include "operators/operator.h"
#include "operators/sink.h"
#include "operators/source.h"

namespace weir {

class LineFormatter;

// What a source reads, canonical (Disk::Canonical).
struct FoldersRead {
  std::vector<std::string> folders;  // looked through for files, now and at every restart
  std::vector<std::string> files;    // found there, or named
};

// A file that a stage goes by and that may change while the job runs, as the rules of a router do.
// The job's builder read it; from then on the coordinator watches the file, has a change checked,
// and lets it take effect at a barrier, in all instances of the stage alike (Operator::OnReload).
// Checkpoints keep the content.
struct Reloadable {
  std::string resource;  // its name in the job's identity
  std::string path;      // of the file that is watched
  std::string bytes;     // what the builder read
  // Checks content and makes of it what the instances share. Any thread; may take its time. The
  // error names file and line.
  std::function<StatusOr<std::shared_ptr<const void>>(std::string_view bytes)> compile;
};

// What a sink writes, for whoever wants it instead of the sink.
struct SinkLines {
  std::function<std::unique_ptr<LineFormatter>()> make;  // empty: it writes no lines
  bool by_partition = false;  // the lines' partitions count: each is an output of its own
};

// Makes instances of one stage; exactly one of the three is set, as the stage's role says. None is
// where the stage is of a part that this process does not run (Parameters::part).
struct StageCode {
  bool made_here() const { return source || op || sink; }
  std::function<std::unique_ptr<Source>()> source;
  std::function<std::unique_ptr<Operator>()> op;
  std::function<std::unique_ptr<Sink>()> sink;
  SinkLines lines;  // of a sink that writes lines
  // Of an operator; at most one.
  std::optional<Reloadable> reloadable;
  // What can be known to be wrong before the job starts (an input that does not exist, a folder
  // that holds another job's files). May be empty.
  std::function<Status(Environment& env, std::string_view job_id)> check;
  // Of a source that reads files: where it looks for them. May be empty.
  std::function<StatusOr<FoldersRead>(Environment& env)> reads;
  // Of a sink that writes files: the folder that the job must have for itself. May be empty.
  std::string writes;
  // Of a sink that finds by itself what it has committed: the highest checkpoint that did, 0: none.
  // A restored copy of a data folder knows less. May be empty.
  std::function<StatusOr<CheckpointId>(Environment& env, std::string_view job_id,
                                       std::string_view stage)>
      last_committed;
};

struct EdgeCode {
  std::shared_ptr<const RowCodec> codec;
  std::function<void(BatchBase&)> hash_keys;  // fills the key hash column; set on keyed edges
};

struct BuiltJob {
  JobGraph graph;
  std::vector<StageCode> stages;  // beside graph.stages
  std::vector<EdgeCode> edges;    // beside graph.edges
};

}  // namespace weir
