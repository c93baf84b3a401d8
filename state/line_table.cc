#include "state/line_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace weir {
namespace {

constexpr size_t kHugePage = 2 << 20;
// Blocks below this size come from a table that is small as a whole.
constexpr uint32_t kHugeFromLines = 16;

}  // namespace

uint32_t LineArena::RoundUp(uint32_t lines) {
  uint32_t size = 1;
  while (size < lines) {
    // Between two powers of two lies their three quarters.
    if (size >= 2 && size + size / 2 >= lines) return size + size / 2;
    size *= 2;
  }
  return size;
}

void* LineArena::Allocate(uint32_t lines) {
  const size_t block = lines * kLineBytes;
  std::vector<char*>& candidates = with_space_[lines];
  if (candidates.empty()) {
    Region region;
    region.bytes = (std::max(kHugePage, 4 * block) + kHugePage - 1) / kHugePage * kHugePage;
    region.base = static_cast<char*>(std::aligned_alloc(kHugePage, region.bytes));
    if (region.base == nullptr) throw std::bad_alloc();
    if (lines >= kHugeFromLines) madvise(region.base, region.bytes, MADV_HUGEPAGE);
    region.blocks = static_cast<uint32_t>(region.bytes / block);
    for (uint32_t i = region.blocks; i > 0; --i) region.free.push_back(i - 1);
    bytes_ += region.bytes;
    candidates.push_back(region.base);
    regions_.emplace(region.base, std::move(region));
  }
  Region& region = regions_.find(candidates.back())->second;
  char* result = region.base + region.free.back() * block;
  region.free.pop_back();
  if (region.free.empty()) candidates.pop_back();
  std::memset(result, 0, block);
  return result;
}

void LineArena::Free(void* block, uint32_t lines) {
  char* address = static_cast<char*>(block);
  auto it = std::prev(regions_.upper_bound(address));
  Region& region = it->second;
  WEIR_CHECK(address >= region.base && address < region.base + region.bytes);
  std::vector<char*>& candidates = with_space_[lines];
  if (region.free.empty()) candidates.push_back(region.base);
  region.free.push_back(static_cast<uint32_t>((address - region.base) / (lines * kLineBytes)));
  if (region.free.size() == region.blocks) {
    candidates.erase(std::find(candidates.begin(), candidates.end(), region.base));
    Release(region);
    regions_.erase(it);
  }
}

void LineArena::Release(const Region& region) {
  bytes_ -= region.bytes;
  std::free(region.base);
}

LineArena::~LineArena() {
  for (const auto& [base, region] : regions_) Release(region);
}

}  // namespace weir
