#include "core/slab.h"

#include <algorithm>
#include <cstring>

#include "core/limits.h"

namespace weir {

Slab::Slab(size_t capacity) : data_(new char[capacity + limits::kSlabPaddingBytes]) {}

SlabBuilder::SlabBuilder(size_t capacity)
    : slab_(std::make_shared<Slab>(capacity)), capacity_(capacity) {}

SlabPtr SlabBuilder::Finish(size_t size) {
  slab_->size_ = size;
  std::memset(slab_->data_.get() + size, 0, limits::kSlabPaddingBytes);
  capacity_ = 0;
  return std::move(slab_);
}

SlabPtr CopyToSlab(std::string_view bytes) {
  SlabBuilder builder(bytes.size());
  std::memcpy(builder.data(), bytes.data(), bytes.size());
  return builder.Finish(bytes.size());
}

void SlabSet::Add(SlabPtr slab) {
  // The newest slabs are the likeliest to come again.
  for (auto it = slabs_.rbegin(); it != slabs_.rend(); ++it) {
    if (*it == slab) return;
  }
  bytes_ += slab->size();
  slabs_.push_back(std::move(slab));
}

void SlabSet::Unite(const SlabSet& other) {
  for (const SlabPtr& slab : other.slabs_) Add(slab);
}

void SlabSet::Clear() {
  slabs_.clear();
  bytes_ = 0;
}

std::string_view SlabArena::Copy(std::string_view bytes) {
  constexpr size_t kBlockBytes = 64 << 10;
  if (blocks_.empty() || blocks_.back().used + bytes.size() > blocks_.back().builder->capacity()) {
    blocks_.push_back({std::make_unique<SlabBuilder>(std::max(kBlockBytes, bytes.size())), 0});
  }
  Open& block = blocks_.back();
  char* target = block.builder->data() + block.used;
  if (!bytes.empty()) std::memcpy(target, bytes.data(), bytes.size());
  block.used += bytes.size();
  return {target, bytes.size()};
}

void SlabArena::Release(SlabSet& slabs) {
  for (Open& block : blocks_) slabs.Add(block.builder->Finish(block.used));
  blocks_.clear();
}

}  // namespace weir
