// LineWriter: gathers lines in one block of bytes per partition and span of event time. A
// LineFormatter writes to it, a sink derives from it and takes the blocks.
//
// Bounded: a block is handed over when the next line would make it larger than block_bytes (a
// longer line becomes a block of its own), and the largest blocks are when all of them together
// pass buffered_bytes_max. Where the blocks are so many that what is kept beside their bytes
// counts, all are handed over and forgotten. Not thread-safe: belongs to the sink's task. Costs no
// virtual call and no allocation per line.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/time.h"
#include "operators/operator.h"
#include "operators/sinks/time_path.h"

namespace weir {

// Whole lines, each with its line feed, and what there is to know of them.
struct Lines {
  std::string bytes;
  uint64_t rows = 0;
  Timestamp min_time = kMaxTimestamp;  // event times
  Timestamp max_time = kMinTimestamp;
};

struct LineBlock {
  std::string partition;
  TimePath::Span span;
  Lines lines;
};

class LineWriter {
 public:
  struct Options {
    size_t block_bytes = 0;
    size_t buffered_bytes_max = 0;  // of all partitions together, counted by capacity
    size_t partitions_max = 1;
    bool by_partition = false;  // false: one partition, "", whatever the lines' labels are
    TimePath time_path;
  };
  // A partition and the first time of a span.
  struct Key {
    std::string partition;
    Timestamp first = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyView {
    std::string_view partition;
    Timestamp first = 0;
  };
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(KeyView key) const {
      return std::hash<std::string_view>()(key.partition) ^
             static_cast<size_t>(static_cast<uint64_t>(key.first) * 0x9E3779B97F4A7C15u);
    }
    size_t operator()(const Key& key) const { return (*this)(KeyView{key.partition, key.first}); }
  };
  struct KeyEqual {
    using is_transparent = void;
    bool operator()(const Key& a, const Key& b) const { return a == b; }
    bool operator()(KeyView a, const Key& b) const {
      return a.first == b.first && a.partition == b.partition;
    }
    bool operator()(const Key& a, KeyView b) const { return (*this)(b, a); }
  };
  using Blocks = std::unordered_map<Key, std::unique_ptr<LineBlock>, KeyHash, KeyEqual>;

  virtual ~LineWriter() = default;

  // Adds the line and a line feed to the block of its partition and time. The line must hold no
  // line feed itself. Where the partition cannot be, the line is rejected.
  void Write(std::string_view partition, std::string_view line, Timestamp time) {
    LineBlock* block = current_;
    if (block == nullptr || time < block->span.first || time > block->span.last ||
        (options_.by_partition && block->partition != partition)) {
      block = Select(partition, line, time);
      if (block == nullptr) return;
    }
    Lines& lines = block->lines;
    if (lines.bytes.size() + line.size() + 1 > lines.bytes.capacity()) {
      MakeRoom(*block, line.size() + 1);
    }
    lines.bytes.append(line);
    lines.bytes.push_back('\n');
    ++lines.rows;
    if (time < lines.min_time) lines.min_time = time;
    if (time > lines.max_time) lines.max_time = time;
  }
  // A row that makes no line goes to the dead letters.
  void Reject(std::string_view error, std::string_view record, Timestamp time) {
    rejects_->Reject(error, record, time);
  }

 protected:
  explicit LineWriter(Options options) : options_(std::move(options)) {}

  // Takes the lines of a block that are to go out; they follow those that it took of it before.
  virtual void TakeLines(const LineBlock& block, Lines lines) = 0;
  // Whether a partition that has no block counts against partitions_max already.
  virtual bool IsKnown(KeyView) const { return false; }
  // An empty buffer that may have capacity: one that was written out.
  virtual std::string SpareBuffer() { return {}; }

  // Before the first line.
  void set_buffered_bytes_max(size_t bytes) { options_.buffered_bytes_max = bytes; }
  void set_partitions_max(size_t partitions) { options_.partitions_max = partitions; }
  void set_time_path(TimePath path) { options_.time_path = std::move(path); }
  // Where rejected rows go until the next call.
  void set_rejects(Output& out) { rejects_ = &out; }
  // Gives away all open blocks at once; some may be empty.
  Blocks TakeOpenBlocks();
  // Hands all open blocks over.
  void FlushAll();
  bool has_blocks() const { return !blocks_.empty(); }

 private:
  LineBlock* Select(std::string_view partition, std::string_view line, Timestamp time);
  LineBlock* MakeBlock(std::string_view partition, TimePath::Span span, std::string_view line,
                       Timestamp time);
  void MakeRoom(LineBlock& block, size_t needed);
  void Flush(LineBlock& block);
  void FlushLargest();

  Options options_;
  Output* rejects_ = nullptr;
  Blocks blocks_;
  size_t partitions_ = 0;      // since the blocks were taken
  size_t buffered_bytes_ = 0;  // capacities of all blocks
  LineBlock* current_ = nullptr;
  // Labels mostly are views into one slab of the rules, so their address finds them without a hash
  // of their bytes. A miss only costs time.
  std::array<LineBlock*, 64> recent_{};
};

}  // namespace weir
