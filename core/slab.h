// Slab: a reference-counted, immutable block of bytes that rows' string_views point into.
//
// Bytes read from a file or a socket land in a slab once and are not copied again until they are
// written. A slab is filled by one thread through SlabBuilder and never changes after Finish(); any
// thread may then read it. Behind its size lie limits::kSlabPaddingBytes readable bytes, which SIMD
// parsers may touch.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace weir {

class Slab {
 public:
  explicit Slab(size_t capacity);
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  std::string_view view() const { return {data_.get(), size_}; }
  size_t size() const { return size_; }

 private:
  friend class SlabBuilder;
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

using SlabPtr = std::shared_ptr<const Slab>;

// Fills one slab. Not thread-safe. data() is writable up to capacity() until Finish().
class SlabBuilder {
 public:
  explicit SlabBuilder(size_t capacity);

  char* data() { return slab_->data_.get(); }
  size_t capacity() const { return capacity_; }

  // The slab's bytes are the first `size` of data(), which keeps its address. The builder is empty
  // afterwards.
  SlabPtr Finish(size_t size);

 private:
  std::shared_ptr<Slab> slab_;
  size_t capacity_;
};

SlabPtr CopyToSlab(std::string_view bytes);

// The slabs that the rows of one batch point into. Each is held once, whatever the number of rows.
class SlabSet {
 public:
  void Add(SlabPtr slab);
  void Unite(const SlabSet& other);
  void Clear();
  size_t bytes() const { return bytes_; }
  bool empty() const { return slabs_.empty(); }
  const std::vector<SlabPtr>& slabs() const { return slabs_; }

 private:
  std::vector<SlabPtr> slabs_;
  size_t bytes_ = 0;
};

// Keeps bytes that a function makes while it fills a batch: a view returned by Copy() lives as long
// as the slabs do, which the caller moves into the batch with Release(). Not thread-safe.
class SlabArena {
 public:
  std::string_view Copy(std::string_view bytes);
  // Ends the open slab and adds everything copied since the last call to `slabs`.
  void Release(SlabSet& slabs);

 private:
  struct Open {
    std::unique_ptr<SlabBuilder> builder;
    size_t used = 0;
  };
  std::vector<Open> blocks_;
};

}  // namespace weir
