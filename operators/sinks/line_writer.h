// LineWriter: gathers lines in one block of bytes per partition. A LineFormatter writes to it, a
// sink derives from it and takes the blocks.
//
// Bounded: a block is handed over when the next line would make it larger than block_bytes (a
// longer line becomes a block of its own), and the largest blocks are when all of them together
// pass buffered_bytes_max. Not thread-safe: belongs to the sink's task. Costs no virtual call and
// no allocation per line.
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

namespace weir {

struct LineBlock {
  std::string partition;
  std::string bytes;  // whole lines, each with its line feed
};

class LineWriter {
 public:
  struct Options {
    size_t block_bytes = 0;
    size_t buffered_bytes_max = 0;  // of all partitions together, counted by capacity
    size_t partitions_max = 1;
    bool by_partition = false;  // false: one partition, "", whatever the lines' labels are
  };
  struct PartitionHash {
    using is_transparent = void;
    size_t operator()(std::string_view label) const { return std::hash<std::string_view>()(label); }
  };
  using Blocks =
      std::unordered_map<std::string, std::unique_ptr<LineBlock>, PartitionHash, std::equal_to<>>;

  virtual ~LineWriter() = default;

  // Adds the line and a line feed to the partition's block. The line must hold no line feed
  // itself. Where the partition cannot be, the line is rejected.
  void Write(std::string_view partition, std::string_view line, Timestamp time) {
    LineBlock* block = current_;
    if (block == nullptr || (options_.by_partition && block->partition != partition)) {
      block = Select(partition, line, time);
      if (block == nullptr) return;
    }
    std::string& bytes = block->bytes;
    if (bytes.size() + line.size() + 1 > bytes.capacity()) MakeRoom(*block, line.size() + 1);
    bytes.append(line);
    bytes.push_back('\n');
  }
  // A row that makes no line goes to the dead letters.
  void Reject(std::string_view error, std::string_view record, Timestamp time) {
    rejects_->Reject(error, record, time);
  }

 protected:
  explicit LineWriter(const Options& options) : options_(options) {}

  // Takes a block that is to go out; the lines follow those of the partition's blocks before it.
  virtual void TakeBlock(const std::string& partition, std::string bytes) = 0;
  // An empty buffer that may have capacity: one that was written out.
  virtual std::string SpareBuffer() { return {}; }

  // Before the first line.
  void set_buffered_bytes_max(size_t bytes) { options_.buffered_bytes_max = bytes; }
  // Where rejected rows go until the next call.
  void set_rejects(Output& out) { rejects_ = &out; }
  // Gives away all open blocks at once; some may be empty.
  Blocks TakeOpenBlocks();
  // Hands all open blocks over.
  void FlushAll();
  bool has_blocks() const { return !blocks_.empty(); }

 private:
  LineBlock* Select(std::string_view partition, std::string_view line, Timestamp time);
  void MakeRoom(LineBlock& block, size_t needed);
  void Flush(LineBlock& block);
  void FlushLargest();

  Options options_;
  Output* rejects_ = nullptr;
  Blocks blocks_;
  size_t buffered_bytes_ = 0;  // capacities of all blocks
  LineBlock* current_ = nullptr;
  // Labels mostly are views into one slab of the rules, so their address finds them without a hash
  // of their bytes. A miss only costs time.
  std::array<LineBlock*, 64> recent_{};
};

}  // namespace weir
