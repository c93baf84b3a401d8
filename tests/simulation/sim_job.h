// The job that is simulated, its input, and the oracle that knows what must come of it.
//
// numbered rows in splits -> rebatch, [by key] -> [first of each id] -> count of each key -> files
//
// Every row has an id of its own. A key's rows are counted in the order in which they come, so that
// a row that is lost, comes twice or comes out of order shows in its key's counts, and state that
// is lost or restored twice does as well. With the dedup stage some rows come again behind the
// first.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "jobs/built_job.h"
#include "operators/sinks/file_sink.h"
#include "tests/simulation/sim_disk.h"

namespace weir::simulation {

struct Row {
  int64_t id = 0;
  int64_t key = 0;
  int64_t split = 0;
  int64_t place = 0;  // in its split, counting first comers
  BOOST_DESCRIBE_CLASS(Row, (), (id, key, split, place), (), ())
};

// What comes of a row.
struct Counted {
  Row row;
  int64_t count = 0;  // of its key
  BOOST_DESCRIBE_CLASS(Counted, (), (row, count), (), ())
};

enum class Way {
  kRebatch,
  kKeyedRebatch,
  kDedup,
};

struct Input {
  Way way = Way::kRebatch;
  std::vector<std::vector<Row>> splits;
  size_t rows_per_poll = 4;
  int64_t poll_micros = Milliseconds(50);  // typically, between two polls

  static std::shared_ptr<Input> Make(SeededRandom& random);
};

struct JobOptions {
  FileSinkOptions sink;
  bool commit_early = false;  // a planted bug: a piece is committed as soon as it is durable
};
BuiltJob MakeJob(std::shared_ptr<const Input> input, const JobOptions& options);

struct Expected {
  bool all = true;  // the job has finished
  bool rescaled = false;
  bool list = false;  // the sink keeps a list of what is committed
};
// What is wrong with the files that were committed; "": nothing. The rows of a key keep their
// order, but on two ways: through two exchanges, and where rows that a rebatch without a key held
// open met another parallelism, since their split then goes on elsewhere.
std::string FindFault(const Input& input, const SimDisk& disk, const std::string& folder,
                      const Expected& expected);

}  // namespace weir::simulation
