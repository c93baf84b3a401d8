// RowCodec: the erased codec that every edge of a graph carries. One virtual call handles a batch,
// never a row.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/batch.h"
#include "core/codec.h"

namespace weir {

// Immutable after construction; any thread may call it.
class RowCodec {
 public:
  virtual ~RowCodec() = default;
  virtual const Schema& schema() const = 0;

  virtual BatchPtr NewBatch() const = 0;
  // Appends rows and columns of the batch to `out`.
  virtual void EncodeBatch(const BatchBase& batch, std::string& out) const = 0;
  // The batch that EncodeBatch wrote; its rows point into `bytes`, which it keeps. InvalidArgument
  // if the bytes are no such batch.
  virtual StatusOr<BatchPtr> DecodeBatch(SlabPtr bytes) const = 0;
  // The same for bytes of an older schema that IncompatibleFields() has passed.
  virtual StatusOr<BatchPtr> DecodeBatchAs(const Schema& written, SlabPtr bytes) const = 0;
  // Row i as one JSON document.
  virtual void WriteJson(const BatchBase& batch, size_t row, JsonWriter& out) const = 0;
  // Appends what each row weighs: itself, its columns and what it points to.
  virtual void RowBytes(const BatchBase& batch, std::vector<size_t>& bytes) const = 0;
  // Copies what the rows point to into a slab of its own if they keep alive slabs more than eight
  // times as large.
  virtual void CompactIfSparse(BatchPtr& batch) const = 0;
};

template <class T>
std::shared_ptr<const RowCodec> MakeRowCodec();

namespace internal {

// The columns of a batch; the rows follow them.
void EncodeColumns(std::span<const Timestamp> times, std::span<const uint64_t> key_hashes,
                   std::string& out);
inline void EncodeColumns(const BatchBase& batch, std::string& out) {
  EncodeColumns(batch.times(), batch.key_hashes(), out);
}
struct Columns {
  std::vector<Timestamp> times;
  std::vector<uint64_t> key_hashes;
};
bool DecodeColumns(ByteReader& in, Columns& columns);

template <class T>
class RowCodecFor final : public RowCodec {
 public:
  const Schema& schema() const override { return schema_; }
  BatchPtr NewBatch() const override { return std::make_unique<Batch<T>>(); }

  void EncodeBatch(const BatchBase& batch, std::string& out) const override {
    EncodeColumns(batch, out);
    for (const T& row : Batch<T>::Of(batch).values()) Codec<T>::Encode(row, out);
  }
  StatusOr<BatchPtr> DecodeBatch(SlabPtr bytes) const override {
    return DecodeRows(std::move(bytes),
                      [](ByteReader& in, T& row) { return Codec<T>::Decode(in, row); });
  }
  StatusOr<BatchPtr> DecodeBatchAs(const Schema& written, SlabPtr bytes) const override {
    return DecodeRows(std::move(bytes),
                      [&](ByteReader& in, T& row) { return Codec<T>::DecodeAs(written, in, row); });
  }
  void WriteJson(const BatchBase& batch, size_t row, JsonWriter& out) const override {
    Codec<T>::WriteJson(Batch<T>::Of(batch)[row], out);
  }
  void RowBytes(const BatchBase& batch, std::vector<size_t>& bytes) const override {
    for (const T& row : Batch<T>::Of(batch).values()) {
      bytes.push_back(sizeof(T) + 16 + Codec<T>::ViewBytes(row));
    }
  }
  void CompactIfSparse(BatchPtr& batch) const override {
    if (batch->slabs().bytes() < (64 << 10)) return;
    size_t used = 0;
    for (const T& row : Batch<T>::Of(*batch).values()) used += Codec<T>::ViewBytes(row);
    if (used * 8 >= batch->slabs().bytes()) return;
    std::string bytes;
    EncodeBatch(*batch, bytes);
    StatusOr<BatchPtr> compact = DecodeBatch(CopyToSlab(bytes));
    WEIR_CHECK(compact.ok());
    batch = *std::move(compact);
  }

 private:
  template <class DecodeOne>
  StatusOr<BatchPtr> DecodeRows(SlabPtr bytes, DecodeOne decode_one) const {
    ByteReader in(bytes->view());
    Columns columns;
    bool ok = DecodeColumns(in, columns);
    auto batch = std::make_unique<Batch<T>>();
    if (ok) batch->Reserve(columns.times.size());
    size_t view_bytes = 0;
    for (size_t i = 0; ok && i < columns.times.size(); ++i) {
      T row{};
      ok = decode_one(in, row);
      view_bytes += Codec<T>::ViewBytes(row);
      batch->Add(std::move(row), columns.times[i]);
    }
    if (!ok || !in.done())
      return absl::InvalidArgumentError("the bytes are not a batch of " + schema_.ToText());
    batch->set_key_hashes(std::move(columns.key_hashes));
    batch->AddViewBytes(view_bytes);
    batch->slabs().Add(std::move(bytes));
    return BatchPtr(std::move(batch));
  }

  const Schema schema_ = Codec<T>::Describe();
};

}  // namespace internal

template <class T>
std::shared_ptr<const RowCodec> MakeRowCodec() {
  return std::make_shared<internal::RowCodecFor<T>>();
}

}  // namespace weir
