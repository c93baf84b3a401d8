#include "operators/sinks/line_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "operators/partition_label.h"

namespace weir {
namespace {

constexpr size_t kFirstBlockBytes = 1024;
// What a block costs beside its lines, roughly.
constexpr size_t kBlockOverheadBytes = 384;

// std::string has a little capacity before its first allocation, which is not worth counting.
size_t HeapBytes(const std::string& s) {
  return s.capacity() > sizeof(std::string) ? s.capacity() : 0;
}

}  // namespace

LineBlock* LineWriter::Select(std::string_view partition, std::string_view line, Timestamp time) {
  if (!options_.by_partition) partition = {};
  const uint64_t address = reinterpret_cast<uintptr_t>(partition.data()) + partition.size();
  LineBlock*& recent = recent_[(address * 0x9E3779B97F4A7C15u) >> 58];
  if (recent != nullptr && recent->partition == partition && recent->span.first <= time &&
      time <= recent->span.last) {
    return current_ = recent;
  }
  std::optional<TimePath::Span> span = options_.time_path.Of(time);
  if (!span) {
    Reject(fmt::format("the event's time, {}, has no year of four digits, so it names no folder of "
                       "the output",
                       FormatTimestamp(time)),
           line, time);
    return nullptr;
  }
  auto found = blocks_.find(KeyView{partition, span->first});
  LineBlock* block = found != blocks_.end() ? found->second.get()
                                            : MakeBlock(partition, *std::move(span), line, time);
  if (block != nullptr) current_ = recent = block;
  return block;
}

LineBlock* LineWriter::MakeBlock(std::string_view partition, TimePath::Span span,
                                 std::string_view line, Timestamp time) {
  if (options_.by_partition && !IsPartitionLabel(partition)) {
    Reject(partition.empty()
               ? fmt::format("the row has no route, which names the output's folder")
               : fmt::format("the route '{}' cannot name a folder: it must be {}",
                             partition.substr(0, kPartitionLabelCharsMax), kPartitionLabelRule),
           line, time);
    return nullptr;
  }
  if (!IsKnown({partition, span.first})) {
    if (partitions_ >= options_.partitions_max) {
      Reject(
          fmt::format("the folder '{}{}{}' is one more than the {} that a sink writes between "
                      "two checkpoints",
                      partition, span.path.empty() ? "" : "/", span.path, options_.partitions_max),
          line, time);
      return nullptr;
    }
    ++partitions_;
  }
  if (blocks_.size() * kBlockOverheadBytes >= options_.buffered_bytes_max / 2) {
    FlushAll();
    blocks_.clear();
    current_ = nullptr;
    recent_.fill(nullptr);
  }
  auto block = std::make_unique<LineBlock>();
  block->partition = std::string(partition);
  block->span = std::move(span);
  Key key{block->partition, block->span.first};
  return blocks_.emplace(std::move(key), std::move(block)).first->second.get();
}

void LineWriter::MakeRoom(LineBlock& block, size_t needed) {
  std::string& bytes = block.lines.bytes;
  bool full = false;
  if (!bytes.empty() && bytes.size() + needed > options_.block_bytes) {
    Flush(block);
    bytes = SpareBuffer();
    buffered_bytes_ += HeapBytes(bytes);
    full = true;
  }
  if (bytes.size() + needed <= bytes.capacity()) return;
  // A partition that has filled a block will fill the next one; the others grow as they must.
  const size_t grown = full ? options_.block_bytes : std::max(kFirstBlockBytes, 2 * bytes.size());
  size_t capacity = std::max(std::min(grown, options_.block_bytes), bytes.size() + needed);
  if (buffered_bytes_ - HeapBytes(bytes) + capacity > options_.buffered_bytes_max) {
    FlushLargest();
    capacity = std::max(capacity, bytes.size() + needed);
  }
  buffered_bytes_ -= HeapBytes(bytes);
  bytes.reserve(capacity);
  buffered_bytes_ += HeapBytes(bytes);
}

void LineWriter::Flush(LineBlock& block) {
  buffered_bytes_ -= HeapBytes(block.lines.bytes);
  Lines lines;
  std::swap(lines, block.lines);
  if (!lines.bytes.empty()) TakeLines(block, std::move(lines));
}

// Goes down to half of the limit, so that the sort is paid once for many blocks.
void LineWriter::FlushLargest() {
  std::vector<LineBlock*> by_size;
  by_size.reserve(blocks_.size());
  for (auto& [key, block] : blocks_) by_size.push_back(block.get());
  std::sort(by_size.begin(), by_size.end(), [](const LineBlock* a, const LineBlock* b) {
    return a->lines.bytes.capacity() > b->lines.bytes.capacity();
  });
  for (LineBlock* block : by_size) {
    if (buffered_bytes_ <= options_.buffered_bytes_max / 2) break;
    Flush(*block);
  }
}

LineWriter::Blocks LineWriter::TakeOpenBlocks() {
  Blocks blocks;
  blocks.swap(blocks_);
  partitions_ = 0;
  buffered_bytes_ = 0;
  current_ = nullptr;
  recent_.fill(nullptr);
  return blocks;
}

void LineWriter::FlushAll() {
  for (auto& [key, block] : blocks_) Flush(*block);
}

}  // namespace weir
